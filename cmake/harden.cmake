# Hardening: each flag where the compiler or linker has it, none that must be remembered by hand.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

# Programs link this as executables; the shared library takes all but PIE from it too.
add_library(kafiber_hardened_link INTERFACE)
target_link_libraries(kafiber_settings INTERFACE kafiber_hardened_link)

if(NOT KAFIBER_STATIC_PROGRAMS)
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES C)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()

function(kafiber_harden_compile flag when)
  string(MAKE_C_IDENTIFIER "KAFIBER_HAS${flag}" has)
  check_c_compiler_flag("-Werror ${flag}" ${has})
  if(${has})
    target_compile_options(kafiber_settings INTERFACE
      $<$<AND:$<COMPILE_LANGUAGE:C>,${when}>:${flag}>)
  endif()
endfunction()

function(kafiber_harden_link flag)
  string(MAKE_C_IDENTIFIER "KAFIBER_LINKS${flag}" has)
  check_linker_flag(C "${flag}" ${has})
  if(${has})
    target_link_options(kafiber_hardened_link INTERFACE ${flag})
  endif()
endfunction()

# Sanitizers see more without them: a variable set to zero is no longer uninitialised.
if(KAFIBER_HARDEN AND NOT KAFIBER_SANITIZE)
  # _FORTIFY_SOURCE needs an optimising build; Valgrind runs on the Debug one.
  set(optimised "$<NOT:$<CONFIG:Debug>>")
  kafiber_harden_compile(-fstack-protector-strong 1)
  kafiber_harden_compile(-fstack-clash-protection 1)
  kafiber_harden_compile(-fcf-protection=full 1)
  kafiber_harden_compile(-mbranch-protection=standard 1)
  kafiber_harden_compile(-ftrivial-auto-var-init=zero ${optimised})
  # Some distributions' compilers define a lower level themselves.
  target_compile_options(kafiber_settings INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:C>,${optimised}>:-U_FORTIFY_SOURCE>
    $<$<AND:$<COMPILE_LANGUAGE:C>,${optimised}>:-D_FORTIFY_SOURCE=3>)
  kafiber_harden_link(-Wl,-z,relro)
  kafiber_harden_link(-Wl,-z,now)
  kafiber_harden_link(-Wl,-z,noexecstack)
endif()
