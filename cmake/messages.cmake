# Which messages a build knows, and whether it knows their fields by name. The groups stand as
# headings in include/kafiber/schema/all.def.
option(KAFIBER_JSON "Field names, and messages as JSON" ON)
set(KAFIBER_MESSAGE_GROUPS CLIENT ADMIN TRANSACTIONS SHARE STREAMS BROKER)
set(left_out "")
foreach(group ${KAFIBER_MESSAGE_GROUPS})
  option(KAFIBER_MESSAGES_${group} "Messages of the group ${group}" ON)
  if(NOT KAFIBER_MESSAGES_${group})
    list(APPEND left_out KF__WITHOUT_${group})
  endif()
endforeach()
if(NOT KAFIBER_MESSAGES_CLIENT)
  message(FATAL_ERROR "KAFIBER_MESSAGES_CLIENT=OFF: the runtime itself speaks these messages; "
                      "ADMIN, TRANSACTIONS, SHARE, STREAMS and BROKER can be left out")
endif()
if(NOT KAFIBER_JSON)
  list(APPEND left_out KF__WITHOUT_NAMES)
endif()
# Only the tables shrink: messages.h stays whole, so that who includes it needs no options of ours.
set_source_files_properties(proto/codec/schema.c PROPERTIES COMPILE_DEFINITIONS "${left_out}")

# Our programs leave out what needs names, or more than the client's messages.
if(KAFIBER_JSON)
  target_compile_definitions(kafiber_settings INTERFACE KAFIBER_WITH_JSON=1)
endif()
if(KAFIBER_MESSAGES_ADMIN)
  target_compile_definitions(kafiber_settings INTERFACE KAFIBER_WITH_ADMIN=1)
endif()
