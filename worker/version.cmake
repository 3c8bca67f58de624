# What --version says, decided when CMake configures; -DCHAT_VERSION=... says it from outside, where a copy of the tree is built without its git.
# On its own, cmake -DSOURCE=FOLDER -P version.cmake prints it.
#
#   chat_version(RET SOURCE RELEASE)   in RET: of a git tree at SOURCE what git describe says ("1.2.3" at the tag v1.2.3, "1.2.3-4-g0123abc"
#                                      four commits later), before the first tag RELEASE and the commit ("1.2.3-g0123abc"); elsewhere RELEASE
#
# Unpacked within another project's tree it isn't that project's version; and without git, or where git refuses the tree, it is RELEASE.
function(chat_version ret source release)
  set(${ret} ${release} PARENT_SCOPE)
  file(REAL_PATH ${source} source)
  execute_process(COMMAND git rev-parse --show-toplevel WORKING_DIRECTORY ${source} OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT top STREQUAL source)
    return()
  endif()
  execute_process(COMMAND git describe --tags --match "v[0-9]*" WORKING_DIRECTORY ${source} OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND git rev-parse --short HEAD WORKING_DIRECTORY ${source} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(described MATCHES "^v(.+)$")
    set(${ret} ${CMAKE_MATCH_1} PARENT_SCOPE)
  elseif(failed EQUAL 0)
    set(${ret} ${release}-g${commit} PARENT_SCOPE)
  endif()
endfunction()

# chat_version_header(FILE): the header, written anew only if it says something else, so that a commit rebuilds no more than the programs'
# main files; CMake configures again after a commit.
function(chat_version_header file)
  if(NOT CHAT_VERSION)
    chat_version(CHAT_VERSION ${PROJECT_SOURCE_DIR} ${PROJECT_VERSION})
  endif()
  file(CONFIGURE OUTPUT ${file} CONTENT "/* By version.cmake: what --version says. */\n#define CHAT_VERSION \"@CHAT_VERSION@\"\n" @ONLY)
  execute_process(COMMAND git rev-parse --git-path logs/HEAD WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  file(REAL_PATH "${log}" log BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT IS_DIRECTORY ${log} AND EXISTS ${log})
    set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${log})
  endif()
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  file(STRINGS ${SOURCE}/CMakeLists.txt release REGEX "^project\\(")
  string(REGEX REPLACE ".* VERSION ([0-9.]+).*" "\\1" release "${release}")
  chat_version(version ${SOURCE} ${release})
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo ${version}) # message() goes to standard error
endif()
