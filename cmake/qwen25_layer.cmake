# qwen25_layer(NAME base DEPENDS ... SOURCES ... TESTS ... LIBS ...)
#   NAME     the folder; its objects become part of the library `qwen25`. The program (src/cli) is no part of it
#            and lists its own files.
#   DEPENDS  the layers that it may include, as in docs/layers.txt
#   SOURCES  .cc files; TESTS the *_test.cc beside them, one test program per layer
#   LIBS     third-party targets
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Flags that every target of this build shares, never exported to users of the library.
add_library(qwen25_flags INTERFACE)
target_compile_options(qwen25_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers
                       $<$<BOOL:${QWEN25_WERROR}>:-Werror>)
# (A designated initializer that leaves out a field means its default; g++ alone warns about that.)
# g++ 12 sees overruns in std::string that cannot happen (GCC bugs 105329 and 105651), more of them with precompiled headers;
# the sanitizer builds find those that can.
target_compile_options(qwen25_flags INTERFACE
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread>)
# A fused multiply-add appears only where a kernel asks for one, so that results are the same for every
# compiler and flag.
target_compile_options(qwen25_flags INTERFACE -ffp-contract=off)
# Kernels keep vectors in arrays, which vectors without a fixed size cannot be; such CPUs run the NEON code.
target_compile_definitions(qwen25_flags INTERFACE
                           "HWY_DISABLED_TARGETS=(HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128)")
if(QWEN25_SANITIZE)
  target_compile_options(qwen25_flags INTERFACE -fsanitize=${QWEN25_SANITIZE} -fno-sanitize-recover=all
                         -fno-omit-frame-pointer)
  target_compile_definitions(qwen25_flags INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(qwen25_flags INTERFACE -fsanitize=${QWEN25_SANITIZE})
endif()

# Headers that most files read are parsed once for each kind of file. Nothing relies on them: every file includes what it
# uses, and builds with -DQWEN25_PRECOMPILED_HEADERS=OFF.
option(QWEN25_PRECOMPILED_HEADERS "Parse the headers that most files read only once" ON)
set(qwen25_common_headers <algorithm> <atomic> <condition_variable> <cstdint> <filesystem> <functional> <map> <memory>
    <mutex> <optional> <span> <string> <string_view> <thread> <unordered_map> <vector>
    <fmt/format.h> <nlohmann/json.hpp>)

# qwen25_precompiled_headers(NAME [FOR_PROGRAMS] HEADERS ... LIBS ... OPTIONS ...): a set of precompiled headers under that
# name. The compiler takes it only for files with the same options: those of a library, or those of a program.
function(qwen25_precompiled_headers name)
  cmake_parse_arguments(SET "FOR_PROGRAMS" "" "HEADERS;LIBS;OPTIONS" ${ARGN})
  if(QWEN25_PRECOMPILED_HEADERS)
    file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/precompiled/${name}.cc CONTENT "")
    add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/precompiled/${name}.cc)
    target_link_libraries(${name} PRIVATE qwen25_flags ${SET_LIBS})
    target_compile_options(${name} PRIVATE ${SET_OPTIONS})
    target_precompile_headers(${name} PRIVATE ${SET_HEADERS})
    if(SET_FOR_PROGRAMS)
      set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    endif()
  endif()
endfunction()

# qwen25_reuse_headers(TARGET NAME): compiled with that set, whose OPTIONS it must share.
function(qwen25_reuse_headers target name)
  if(TARGET ${name})
    target_precompile_headers(${target} REUSE_FROM ${name})
    get_target_property(independent ${name} POSITION_INDEPENDENT_CODE)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ${independent})
  endif()
endfunction()

# What only checks or parses is not worth the time of the optimizer; its loops run for milliseconds.
set(qwen25_quick_build $<$<CONFIG:Release>:-O1>)

qwen25_precompiled_headers(qwen25_library_headers HEADERS ${qwen25_common_headers} LIBS fmt::fmt nlohmann_json::nlohmann_json)
if(QWEN25_TESTS)
  qwen25_precompiled_headers(
    qwen25_test_headers FOR_PROGRAMS
    HEADERS ${qwen25_common_headers} <gtest/gtest.h> <rapidcheck.h>
    LIBS fmt::fmt nlohmann_json::nlohmann_json GTest::gtest rapidcheck
    OPTIONS ${qwen25_quick_build})
endif()

if(QWEN25_TESTS)
  # The one file that knows where this checkout is: all others compile to the same in every checkout.
  add_library(qwen25_test_paths OBJECT ${PROJECT_SOURCE_DIR}/src/base/paths_test_util.cc)
  target_include_directories(qwen25_test_paths PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(qwen25_test_paths PRIVATE qwen25_flags fmt::fmt GTest::gtest)
  target_compile_definitions(qwen25_test_paths PRIVATE
    QWEN25_SOURCE_DIR="${PROJECT_SOURCE_DIR}" QWEN25_SHARED_DATA="${PROJECT_SOURCE_DIR}/../shared/data")
endif()

add_library(qwen25 STATIC)
add_library(qwen25::qwen25 ALIAS qwen25)
enable_testing()
add_custom_target(unit_tests)  # the programs of all tests that are labelled so

function(qwen25_layer)
  cmake_parse_arguments(LAYER "" "NAME" "DEPENDS;SOURCES;TESTS;LIBS" ${ARGN})
  set(target qwen25_${LAYER_NAME})
  if(LAYER_SOURCES)
    add_library(${target} OBJECT ${LAYER_SOURCES})
    target_link_libraries(${target} PRIVATE qwen25_flags PUBLIC ${LAYER_LIBS})
    target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
    if(NOT LAYER_NAME MATCHES "^(tensor|kernels)$")  # they read few of these headers
      qwen25_reuse_headers(${target} qwen25_library_headers)
    endif()
    # Passes on flags and third-party libraries; the objects themselves reach only those who name them.
    foreach(dependency ${LAYER_DEPENDS})
      if(TARGET qwen25_${dependency})
        target_link_libraries(${target} PUBLIC qwen25_${dependency})
      endif()
    endforeach()
    target_sources(qwen25 PRIVATE $<TARGET_OBJECTS:${target}>)
    target_link_libraries(qwen25 PUBLIC ${LAYER_LIBS})
  endif()
  set_property(GLOBAL APPEND PROPERTY QWEN25_LAYERS ${LAYER_NAME})

  if(QWEN25_TESTS AND LAYER_TESTS)
    add_executable(${LAYER_NAME}_test ${LAYER_TESTS} $<TARGET_OBJECTS:qwen25_test_paths>)
    # A test links its own layer and those below it, as objects: a test of a low layer needs no high one built.
    get_property(layers GLOBAL PROPERTY QWEN25_LAYERS)
    foreach(layer ${layers})
      if(TARGET qwen25_${layer})
        target_link_libraries(${LAYER_NAME}_test PRIVATE qwen25_${layer})
      endif()
    endforeach()
    target_link_libraries(${LAYER_NAME}_test PRIVATE qwen25_flags GTest::gtest GTest::gtest_main rapidcheck)
    target_compile_options(${LAYER_NAME}_test PRIVATE ${qwen25_quick_build})
    qwen25_reuse_headers(${LAYER_NAME}_test qwen25_test_headers)
    add_test(NAME ${LAYER_NAME}_test COMMAND ${LAYER_NAME}_test)
    set_tests_properties(${LAYER_NAME}_test PROPERTIES LABELS unit)
    add_dependencies(unit_tests ${LAYER_NAME}_test)
  endif()
endfunction()
