# cmake -DOUT=FILE "-DSCRIPTS=a.lua;b.lua" -P embed.cmake: a header with, for each script, its text as a C11
# string constant (escaped lines: raw strings are C++) and its SHA-1, by which EVALSHA names it.
set(text "/* Made by redis/embed.cmake from the scripts of the folders in worker. */\n#pragma once\n")
foreach(script ${SCRIPTS})
  get_filename_component(name "${script}" NAME_WE)
  file(READ "${script}" body)
  string(SHA1 sha "${body}")
  string(REPLACE "\\" "\\\\" body "${body}")
  string(REPLACE "\"" "\\\"" body "${body}")
  string(REPLACE "\n" "\\n\"\n    \"" body "${body}")
  string(APPEND text "static const char script_${name}[] =\n    \"${body}\";\n"
                     "static const char script_${name}_sha[] = \"${sha}\";\n")
endforeach()
file(WRITE "${OUT}" "${text}")
