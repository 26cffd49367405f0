# What `cmake --install` lays down: headers, libraries, kafiber.pc and find_package(kafiber).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/kafiber)

install(DIRECTORY include/kafiber DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# Two export sets, so that who links the shared library needs none of the codecs' own files.
install(TARGETS kafiber_static kafiber_codecs EXPORT kafiber_static)
install(EXPORT kafiber_static NAMESPACE kafiber:: FILE kafiber-static.cmake
        DESTINATION ${package_dir})
if(KAFIBER_SHARED)
  # Privately linked, so nothing of the interface targets is exported but for their names.
  install(TARGETS kafiber_shared EXPORT kafiber_shared)
  install(EXPORT kafiber_shared NAMESPACE kafiber:: FILE kafiber-shared.cmake
          DESTINATION ${package_dir})
endif()

set(modules "")
foreach(pair ${KAFIBER_MODULES})
  string(REGEX REPLACE ".*=" "" module ${pair})
  list(APPEND modules ${module})
endforeach()
list(JOIN modules " " KAFIBER_REQUIRES)
# Relative, so that an installed tree may be moved.
file(RELATIVE_PATH KAFIBER_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/kafiber.pc.in kafiber.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/kafiber.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(cmake/kafiber-config.cmake.in kafiber-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(kafiber-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kafiber-config.cmake
              ${PROJECT_BINARY_DIR}/kafiber-config-version.cmake
        DESTINATION ${package_dir})
