/* kafiber: all public headers but the protocol's (codec.h, messages.h). */
#ifndef KAFIBER_KAFIBER_H
#define KAFIBER_KAFIBER_H

#include <kafiber/alloc.h>
#include <kafiber/client.h>
#include <kafiber/config.h>
#include <kafiber/error.h>
#include <kafiber/fiber.h>
#include <kafiber/log.h>
#include <kafiber/message.h>
#include <kafiber/outbox.h>
#include <kafiber/producer.h>
#include <kafiber/reader.h>
#include <kafiber/runtime.h>
#include <kafiber/sasl.h>
#include <kafiber/types.h>

#endif
