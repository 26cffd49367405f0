# What can be chosen, and the warnings that everything of ours is compiled with.
set(KAFIBER_TESTS ON CACHE STRING "ON, OFF, or PLAIN: only programs with a main of their own")
set_property(CACHE KAFIBER_TESTS PROPERTY STRINGS ON PLAIN OFF)
option(KAFIBER_TOOLS "Build kf, the embedded broker and the benches" ON)
option(KAFIBER_SHARED "Build the shared library beside the static one" ON)
option(KAFIBER_STATIC_PROGRAMS "Link programs without any shared library" OFF)
option(KAFIBER_SMALL "A section for each function, so that a program takes only what it calls" OFF)
option(KAFIBER_WERROR "Warnings are errors" ON)
option(KAFIBER_HARDEN "Compile and link with every hardening flag the compiler knows" ON)
option(KAFIBER_FUZZ "Build tests/fuzz with libFuzzer (clang only)" OFF)
set(KAFIBER_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# Sources of the library, the tools and the tests link this.
add_library(kafiber_settings INTERFACE)
target_compile_definitions(kafiber_settings INTERFACE _GNU_SOURCE)
target_compile_options(kafiber_settings INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wpedantic -Wshadow -fvisibility=hidden>
  $<$<AND:$<COMPILE_LANGUAGE:C>,$<NOT:$<BOOL:$<TARGET_PROPERTY:KAFIBER_LAX_CONVERSION>>>>:-Wconversion>
  $<$<AND:$<COMPILE_LANGUAGE:C>,$<BOOL:${KAFIBER_WERROR}>>:-Werror>)
target_link_libraries(kafiber_settings INTERFACE Threads::Threads)

if(KAFIBER_SANITIZE)
  add_compile_options(-fsanitize=${KAFIBER_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${KAFIBER_SANITIZE})
endif()
if(KAFIBER_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(KAFIBER_SMALL)
  target_compile_options(kafiber_settings INTERFACE -ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections)
endif()
