#!/bin/bash
# seconds: 300
# Every message at every version, as Kafka's own classes have it. Needs their jars, not the cluster.
exec "$(dirname "$0")/../conformance/run" "${KAFIBER_CONFORMANCE_INSTANCES:-20}"
