# What `cmake --install` lays down: the program, the library, its headers and a CMake package. Users write
#   find_package(qwen25 CONFIG REQUIRED)
#   target_link_libraries(their_target PRIVATE qwen25::qwen25)
# and include <qwen25/base/status.h>. tests/install holds an outside project that does so.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

target_compile_features(qwen25 PUBLIC cxx_std_20)
# Our own headers name each other from src/ ("base/status.h"), hence the second folder.
target_include_directories(qwen25 INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/qwen25>)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/qwen25)
install(TARGETS qwen25 EXPORT qwen25_targets ARCHIVE)
install(TARGETS qwen25_program RUNTIME)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/qwen25
        FILES_MATCHING PATTERN "*.h" PATTERN "*test_util.h" EXCLUDE PATTERN "cli" EXCLUDE)
install(EXPORT qwen25_targets NAMESPACE qwen25:: FILE qwen25-targets.cmake DESTINATION ${package_folder})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/qwen25-config.cmake.in
  ${PROJECT_BINARY_DIR}/qwen25-config.cmake INSTALL_DESTINATION ${package_folder})
# Before 1.0 every minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qwen25-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qwen25-config.cmake ${PROJECT_BINARY_DIR}/qwen25-config-version.cmake
        DESTINATION ${package_folder})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/presets DESTINATION ${CMAKE_INSTALL_DATADIR}/qwen25)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
