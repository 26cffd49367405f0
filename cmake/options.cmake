# How we compile: options, warnings, hardening.
option(KAFIBER_TESTS "Build the tests" ON)
option(KAFIBER_WERROR "Warnings are errors" ON)
set(KAFIBER_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
find_package(Threads REQUIRED)

add_library(kafiber_settings INTERFACE)
target_compile_definitions(kafiber_settings INTERFACE _GNU_SOURCE)
target_compile_options(kafiber_settings INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -fvisibility=hidden>
  $<$<AND:$<COMPILE_LANGUAGE:C>,$<BOOL:${KAFIBER_WERROR}>>:-Werror>)
target_link_libraries(kafiber_settings INTERFACE Threads::Threads)
if(KAFIBER_SANITIZE)
  add_compile_options(-fsanitize=${KAFIBER_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KAFIBER_SANITIZE})
endif()
