# The Debian packages chat-worker and chat-producer, by cpack -G DEB in a build for /usr; charts/debian/build makes one in a Debian of each suite.
#
# CHAT_DEBIAN=ON adds what packages have beside the programs. DEBFULLNAME and DEBEMAIL name who makes them, as for Debian's own tools.
option(CHAT_DEBIAN "Install what Debian packages have beside the programs" OFF)

if(CHAT_DEBIAN)
  set(debian ${CMAKE_CURRENT_BINARY_DIR}/debian)
  set(sources ${CMAKE_CURRENT_LIST_DIR})
  # What comes before the first release is older than it, what comes after one is newer.
  string(REGEX REPLACE "^([0-9.]+)-g" "\\1~g" CPACK_PACKAGE_VERSION "${CHAT_VERSION}")
  string(REPLACE "-" "+" CPACK_PACKAGE_VERSION "${CPACK_PACKAGE_VERSION}")
  set(maintainer "chat-worker <root@localhost>")
  if(DEFINED ENV{DEBEMAIL})
    set(maintainer "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
  endif()
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC) # SOURCE_DATE_EPOCH's, if it is set

  foreach(component worker producer)
    set(package chat-${component})
    file(CONFIGURE OUTPUT ${debian}/${package}/changelog CONTENT "@package@ (@CPACK_PACKAGE_VERSION@) unstable; urgency=medium\n\n  * docs/CHANGELOG.md of the source says what is new.\n\n -- @maintainer@  @date@\n" @ONLY)
    configure_file(${sources}/copyright ${debian}/${package}/copyright COPYONLY)
    # Policy: as small as gzip makes them, without names and times in them.
    install(CODE "execute_process(COMMAND gzip -9nf --keep \"${debian}/${package}/changelog\" COMMAND_ERROR_IS_FATAL ANY)" COMPONENT ${component})
    install(FILES ${debian}/${package}/changelog.gz ${debian}/${package}/copyright DESTINATION share/doc/${package} COMPONENT ${component})
  endforeach()
  install(FILES ${sources}/chat-worker.sysusers DESTINATION lib/sysusers.d RENAME chat-worker.conf COMPONENT worker)

  set(CPACK_GENERATOR DEB)
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_SET_DESTDIR ON)
  set(CPACK_STRIP_FILES ON)
  set(CPACK_COMPONENTS_ALL worker producer)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${maintainer})
  set(CPACK_DEBIAN_PACKAGE_SECTION net)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
  set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
  set(CPACK_DEBIAN_WORKER_PACKAGE_NAME chat-worker)
  set(CPACK_COMPONENT_WORKER_DESCRIPTION "answers chat jobs from Kafka with plain threads\nA pool of plain threads answers jobs from Kafka: claims and histories are in\nRedis, answers come from an LLM's OpenAI-compatible API.")
  set(CPACK_DEBIAN_WORKER_PACKAGE_DEPENDS "ca-certificates, systemd | systemd-standalone-sysusers")
  set(CPACK_DEBIAN_WORKER_PACKAGE_SUGGESTS "chat-producer")
  set(CPACK_DEBIAN_WORKER_PACKAGE_CONTROL_EXTRA "${sources}/postinst;${sources}/prerm;${sources}/postrm")
  set(CPACK_DEBIAN_PRODUCER_PACKAGE_NAME chat-producer)
  set(CPACK_COMPONENT_PRODUCER_DESCRIPTION "puts chat jobs on Kafka, and waits for their answers\nThe command line for chat-worker's topics: submits jobs, asks questions,\ncancels jobs and sends dead letters back.")
  include(CPack)
endif()
