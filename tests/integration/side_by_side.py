"""
side_by_side: plays scripted exchanges against two brokers and tells where the second one answers
otherwise than the first, a real Kafka. Called by test_side_by_side.sh; Python's own library only.

    side_by_side.py KF REAL OURS NAME FILE...

A FILE has a line for each exchange, columns between tabs:

    API[@CONNECTION]   VERSIONS   TAKE   REQUEST

VERSIONS is "*" (all that both speak), "3", "3-5", "3-", "-5" or several of these between commas:
an exchange for each, ascending.
TAKE is "-" or "P=producerId,…": the first value of that field in the answer becomes variable P.
REQUEST is JSON in the form of Kafka's converters; fields left out are at their defaults, those
that a version lacks are skipped. @P@ in it stands for a variable; @NAME@ and @V@, the version,
for words of their own. A field "records" is a list of batches (below). Lines of "#" are comments.

A real broker applies some writes after it has answered. An exchange whose answers differ is
therefore repeated there for PATIENCE seconds, if it only reads, or was refused: nothing sleeps and
hopes. Entries of an answer are compared in any order, as Kafka tells most of them. At the end both
have written the same records into their internal topics.

Frames and JSON are made by `kf codec`, one process each way; nothing else of ours is trusted.
"""
import base64
import difflib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import zlib

PATIENCE = float(os.environ.get("KAFIBER_SIDE_PATIENCE", "10"))
ANSWER_SECONDS = 15

# Ids that each broker makes up: they are told by the order of their first appearance, so that the
# same one stays the same one.
IDS = {"producerId", "topicId", "memberId", "memberIds", "clusterId", "sessionId", "leader"}
# What may differ without a word. docs/broker-apis.md has the list for people.
MASKED = {"*": {"port"}, "ApiVersions": {"finalizedFeaturesEpoch"},
          "DescribeLogDirs": {"logDir", "totalBytes", "usableBytes"},
          "DescribeConfigs": {"documentation"},
          "DescribeQuorum": {"highWatermark", "logEndOffset", "leaderEpoch"}}
FEATURES_OF_OTHERS = {"share.version", "streams.version"}
# Keys of internal topics that are compared.
RECORDS = {"__consumer_offsets": {1: "OffsetCommit", 2: "GroupMetadata"},
           "__transaction_state": {0: "TransactionLog"}}
CONTROL = 32  # an attribute of batches
# Repeating these changes nothing.
READS = {
    "Metadata", "Fetch", "ListOffsets", "OffsetFetch", "FindCoordinator", "ApiVersions",
    "OffsetForLeaderEpoch", "GetTelemetrySubscriptions", "ConsumerGroupDescribe",
}
# Lists of numbers and words come in the order of a hash table, too.
SETS = {"ConsumerGroupHeartbeat", "ConsumerGroupDescribe", "records"}


def only_reads(exchange):
    if re.search(r'"sessionEpoch":[0-9]', exchange.template):
        return False  # the next epoch would be due
    return exchange.api in READS or exchange.api.startswith(("Describe", "List"))


# ---- messages: what the rows of `kf codec schema` say ---------------------------------------------


class Row:
    def __init__(self, columns):
        self.message, self.path, self.type, self.versions, self.nullable, self.tag, \
            self.default, _, self.flexible = columns
        self.name = self.path.rpartition(".")[2]
        self.rows = []


def in_range(spec, version):
    if spec == "-":
        return False
    if spec == "*":
        return True
    least, dash, most = spec.partition("-")
    if spec.endswith("+"):
        return version >= int(spec[:-1])
    if not dash:
        return version == int(spec)
    return int(least or 0) <= version <= int(most or 999)


def read_schemas(kf):
    messages = {}
    text = subprocess.run([kf, "codec", "schema"], check=True, capture_output=True, text=True).stdout
    at = {}
    for line in text.splitlines():
        row = Row(line.split("\t"))
        parent = row.path.rpartition(".")[0]
        (at[row.message, parent].rows if parent else messages.setdefault(row.message, [])).append(row)
        at[row.message, row.path] = row
    return messages


def default_of(row, version):
    if row.type.startswith("[]"):
        return None if row.default == "null" else []
    if row.default == "null":
        return None
    if row.type == "struct":
        return complete(row.rows, version, {})
    given = "" if row.default == "-" else row.default
    if row.type in ("string", "bytes", "records"):
        return given
    if row.type == "uuid":
        return given or "A" * 22
    if row.type == "bool":
        return given == "true"
    if row.type == "float64":
        return float(given or 0)
    return int(given or "0", 0)


def complete(rows, version, value):
    """The struct with all that this version must have."""
    if not isinstance(value, dict):
        return value
    for row in rows:
        if not in_range(row.versions, version):
            value.pop(row.name, None)
            continue
        if row.name not in value:
            if row.tag == "-":
                value[row.name] = default_of(row, version)
        elif row.type == "[]struct" and value[row.name] is not None:
            value[row.name] = [complete(row.rows, version, item) for item in value[row.name]]
        elif row.type == "struct":
            value[row.name] = complete(row.rows, version, value[row.name])
        elif row.type == "records" and isinstance(value[row.name], list):
            value[row.name] = base64.b64encode(b"".join(map(batch, value[row.name]))).decode()
    return value


class Codec:
    """`kf codec VERB`, which answers each line by a line."""

    def __init__(self, kf, verb):
        self.process = subprocess.Popen([kf, "codec", verb], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, message, version, data):
        self.process.stdin.write(f"{message}\t{version}\t{data}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n")
        if answer.startswith("error"):
            raise ValueError(f"{message} v{version}: {answer}: {data}")
        return answer


# ---- record batches -------------------------------------------------------------------------------

CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = (number << 1 ^ number >> 63) & 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def sized(text):
    if text is None:
        return varint(-1)
    return varint(len(text.encode())) + text.encode()


def record(index, item):
    body = b"\0" + varint(item.get("time", 0)) + varint(item.get("delta", index))
    body += sized(item.get("key")) + sized(item.get("value", "v"))
    headers = item.get("headers", [])
    body += varint(item.get("headerCount", len(headers)))
    body += b"".join(sized(name) + sized(value) for name, value in headers)
    return varint(len(body) + item.get("sizeError", 0)) + body


def batch(spec):
    """A batch of version 2; every field may be given, and so be wrong."""
    items = spec.get("records", [{}])
    payload = b"".join(record(i, item) for i, item in enumerate(items))
    payload = base64.b64decode(spec["payload"]) if "payload" in spec else payload
    if spec.get("gzip"):
        packer = zlib.compressobj(wbits=31)
        payload = packer.compress(payload) + packer.flush()
    attributes = spec.get("attributes", 1 if spec.get("gzip") else 0)
    time_ms = spec.get("time", 1600000000000)
    last = spec.get("lastDelta", len(items) - 1)
    tail = struct.pack(">hiqqqhii", attributes, last, time_ms, spec.get("maxTime", time_ms),
                       spec.get("producerId", -1), spec.get("epoch", -1), spec.get("sequence", -1),
                       spec.get("count", len(items))) + payload
    crc = crc32c(tail) ^ spec.get("crcError", 0)
    length = 9 + len(tail) + spec.get("lengthError", 0)
    return struct.pack(">qiibI", spec.get("baseOffset", 0), length, spec.get("leaderEpoch", -1),
                       spec.get("magic", 2), crc) + tail


def batches(data):
    """Records as their headers tell them: times of ours and theirs never agree."""
    told = []
    while len(data) >= 61:
        base, length, epoch, magic, _, attributes, last, first_ms, max_ms, producer, \
            producer_epoch, sequence, count = struct.unpack(">qiibIhiqqqhii", data[:61])
        told.append({"baseOffset": base, "partitionLeaderEpoch": epoch, "magic": magic,
                     "attributes": attributes, "lastOffsetDelta": last, "baseTimestamp": first_ms,
                     "maxTimestamp": max_ms, "producerId": producer,
                     "producerEpoch": producer_epoch, "baseSequence": sequence, "count": count,
                     "payload": data[61:12 + length].hex()})
        data = data[12 + length:]
    return told + ([data.hex()] if data else [])


def number(data, at):
    result = shift = 0
    while True:
        byte, at = data[at], at + 1
        result |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return result >> 1 ^ -(result & 1), at


def records_of(payload):
    """Key and value of each; a value may be None."""
    at = 0
    while at < len(payload):
        size, at = number(payload, at)
        end, at = at + size, at + 1
        for _ in range(2):  # time and offset
            _, at = number(payload, at)
        pair = []
        for _ in range(2):
            size, at = number(payload, at)
            pair.append(payload[at:at + size] if size >= 0 else None)
            at += max(size, 0)
        yield pair
        at = end


# ---- one broker -----------------------------------------------------------------------------------


class Side:
    def __init__(self, address, name):
        host, _, port = address.rpartition(":")
        self.host, self.port = host, int(port)
        self.variables = {"NAME": name}
        self.ids = {"count": 0}  # what a made-up id is called here
        self.sockets = {}
        self.correlation = 0

    def fill(self, template, version):
        text = template.replace("@V@", str(version))
        for name, value in self.variables.items():
            text = text.replace(f"@{name}@", str(value))
        unknown = re.search(r"@\w+@", text)
        if unknown:
            raise ValueError(f"nothing has made {unknown[0]} known")
        return text

    def ask(self, connection, head, message, answered):
        """The answer behind its correlation id; None: the broker has hung up."""
        try:
            if connection not in self.sockets:
                self.sockets[connection] = socket.create_connection((self.host, self.port), 10)
                self.sockets[connection].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sockets[connection].settimeout(ANSWER_SECONDS)
            self.send(connection, head, message)
            if answered:
                return self.receive(connection)
            self.send(connection, struct.pack(">hh", 18, 0), b"")  # does the connection stand?
            self.receive(connection)
            return b""
        except TimeoutError:
            self.sockets.pop(connection).close()
            raise ValueError(f"port {self.port} does not answer") from None
        except (ConnectionError, EOFError):
            self.sockets.pop(connection).close()
            return None

    def send(self, connection, head, message):
        self.correlation += 1
        frame = head + struct.pack(">ih", self.correlation, 4) + b"side" + message
        self.sockets[connection].sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self, connection):
        size, correlation = struct.unpack(">ii", self.read(connection, 8))
        if correlation != self.correlation:
            raise ValueError(f"an answer to {correlation}, not to {self.correlation}")
        return self.read(connection, size - 4)

    def read(self, connection, size):
        data = b""
        while len(data) < size:
            more = self.sockets[connection].recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data


# ---- answers made comparable ----------------------------------------------------------------------


def called(ids, api, key, value):
    """What a made-up id is called; the made-up parts of a text, too."""
    made_up = (key, value) if isinstance(value, int) else value
    none = 0 if key == "producerId" and api != "DescribeTransactions" else 1
    if value in ("", "A" * 22) or isinstance(value, int) and value < none:
        return value
    if made_up not in ids:
        ids["count"] += 1
        ids[made_up] = f"{key} {ids['count']}"
    return ids[made_up]


def a_time(match):
    """Bounds that reach from now into the distance are times as well."""
    number = int(match[0])
    return "now" if abs(number - time.time() * 1000) < 86400000 or number < 0 else match[0]


def plain(ids, api, key, value):
    if isinstance(value, dict):
        return {name: plain(ids, api, name, item) for name, item in value.items()}
    if isinstance(value, list):
        items = [plain(ids, api, key, item) for item in value]
        as_set = bool(items) and (isinstance(items[0], (dict, str)) or api in SETS)
        ordered = not as_set or key == "batches"
        return items if ordered else sorted(items, key=json.dumps)
    if isinstance(value, bool) or value is None:
        return value
    if key == "records" and value:
        return plain(ids, api, "batches", batches(base64.b64decode(value)))
    if api == "records" and key in ("previousProducerId", "nextProducerId"):
        key = "producerId"
    if key in IDS:
        return called(ids, api, key, value)
    if value != "" and (key in MASKED["*"] or key in MASKED.get(api, ())):
        return f"a {key}"
    if key == "throttleTimeMs":
        return value > 0
    if isinstance(value, int) and abs(value - time.time() * 1000) < 86400000:
        return "now"
    if isinstance(value, str):
        value = re.sub(r"-?\b\d{13,}\b", a_time, value)
        for made_up, name in ids.items():
            if isinstance(made_up, str) and made_up != "count":
                value = value.replace(made_up, f"<{name}>")
    return value


def find(value, key):
    """The first value of this name, at whatever depth."""
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        found = item if name == key else find(item, key) if isinstance(item, (dict, list)) else None
        if found is not None:
            return found
    return None


def refused(answer):
    if isinstance(answer, list):
        return any(map(refused, answer))
    return isinstance(answer, dict) and any(
        (item != 0 if "rrorCode" in name else refused(item)) for name, item in answer.items())


# ---- the play -------------------------------------------------------------------------------------


class Exchange:
    def __init__(self, api, version, take, template):
        self.api, _, self.connection = api.partition("@")
        self.version = version
        self.taken = [word.split("=") for word in take.split(",")] if take != "-" else []
        self.template = template


class Play:
    def __init__(self, kf, real, ours, name):
        self.real, self.ours = Side(real, name), Side(ours, name)
        self.schemas = read_schemas(kf)
        self.encoder, self.decoder = Codec(kf, "encode"), Codec(kf, "decode")
        self.keys, self.spoken = {}, {}
        for address in (real, ours):
            self.learn(kf, address)
        self.common = set.intersection(*map(set, self.spoken.values()))
        self.played = {}
        self.wrong = 0
        self.shown = None  # the last difference

    def learn(self, kf, address):
        text = subprocess.run([kf, "api-versions", "--json", "-b", address], check=True,
                              capture_output=True, text=True).stdout
        spoken = {}
        for line in text.splitlines():
            row = json.loads(line)
            if row.get("brokerMin") is not None:
                self.keys[row["api"]] = row["key"]
                spoken[row["api"]] = row["brokerMin"], row["brokerMax"]
        self.spoken[address] = spoken

    def is_flexible(self, message, version):
        return any(in_range(row.flexible, version) for row in self.schemas[message])

    def ask(self, side, exchange):
        """The answer, and itself made comparable; what it makes known is kept by keep()."""
        api, version = exchange.api, exchange.version
        text = side.fill(exchange.template, version)
        request = complete(self.schemas[api + "Request"], version, json.loads(text))
        data = self.encoder.ask(api + "Request", version, json.dumps(request))
        head = struct.pack(">hh", self.keys[api], version)
        flexible = self.is_flexible(api + "Request", version)
        message = (b"\0" if flexible else b"") + bytes.fromhex(data)
        frame = side.ask(exchange.connection, head, message, request.get("acks") != 0 or api != "Produce")
        ids = dict(side.ids)
        if not frame:
            return None, "closed" if frame is None else "silence", ids
        if self.is_flexible(api + "Response", version) and api != "ApiVersions":
            frame = frame[1:]
        answer = json.loads(self.decoder.ask(api + "Response", version, frame.hex()))
        if api == "ApiVersions":
            self.leave_out(answer)
        return answer, plain(ids, api, "", answer), ids

    def leave_out(self, answer):
        """APIs that only one of them has, and what goes with them."""
        known = {self.keys[api] for api in self.common}
        answer["apiKeys"] = [row for row in answer["apiKeys"] if row["apiKey"] in known]
        for name in ("supportedFeatures", "finalizedFeatures"):
            if name in answer:
                answer[name] = [row for row in answer[name] if row["name"] not in FEATURES_OF_OTHERS]

    def exchange(self, exchange, line):
        ours, ours_plain, ours_ids = self.ask(self.ours, exchange)
        deadline = time.monotonic() + PATIENCE
        pause = 0.005
        while True:
            real, real_plain, real_ids = self.ask(self.real, exchange)
            if real_plain == ours_plain or time.monotonic() > deadline:
                break
            if not (only_reads(exchange) or refused(real)):
                break
            time.sleep(pause)
            pause = min(pause * 2, 0.2)
        for side, answer, ids in ((self.real, real, real_ids), (self.ours, ours, ours_ids)):
            side.ids = ids
            for name, key in exchange.taken:
                side.variables[name] = find(answer, key) if answer else None
        self.played.setdefault(exchange.api, {}).setdefault(exchange.version, 0)
        self.played[exchange.api][exchange.version] += 1
        if real_plain != ours_plain:
            self.wrong += 1  # and what follows isn't wrong because of it
            self.real.ids["count"] = self.ours.ids["count"] = max(real_ids["count"], ours_ids["count"])
            self.show(exchange, line, real_plain, ours_plain)

    def show(self, exchange, line, real, ours):
        texts = [json.dumps(answer, indent=1).splitlines() for answer in (real, ours)]
        rows = list(difflib.unified_diff(*texts, "Kafka", "ours", n=2, lineterm=""))[2:60]
        print(f"{line}: {exchange.api} v{exchange.version} {exchange.template[:300]}")
        if rows == self.shown:
            rows = ["the same difference"]
        else:
            self.shown = rows
        for row in rows:
            print("   ", row)
        sys.stdout.flush()

    def versions(self, api, spec):
        specs = spec.split(",")
        return [v for v in range(*self.range_of(api)) if any(in_range(s, v) for s in specs)]

    def range_of(self, api):
        """Of the versions that both speak."""
        both = [spoken[api] for spoken in self.spoken.values()]
        return max(row[0] for row in both), min(row[1] for row in both) + 1

    def file(self, path):
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.startswith("#") or not line.strip():
                    continue
                api, spec, take, template = line.rstrip("\n").split("\t")
                for version in self.versions(api.partition("@")[0], spec):
                    place = f"{os.path.basename(path)}:{number}"
                    try:
                        self.exchange(Exchange(api, version, take.replace("@V@", str(version)), template), place)
                    except ValueError as error:
                        self.wrong += 1
                        print(f"{place}: {error}")

    def records(self, side, topic):
        """What coordinators have written: for each partition the records that the rows know."""
        asked = {"topics": [{"name": topic}], "allowAutoTopicCreation": False}
        count = len(self.answer(side, "Metadata", 9, asked)["topics"][0]["partitions"])
        for partition in range(count):
            for item in self.batches_of(side, topic, partition):
                head = {"partition": partition, "producerId": item["producerId"],
                        "attributes": item["attributes"], "producerEpoch": item["producerEpoch"],
                        "sequence": item["baseSequence"]}
                for key, value in records_of(bytes.fromhex(item["payload"])):
                    name = RECORDS[topic].get(int.from_bytes(key[:2], "big"))
                    if item["attributes"] & CONTROL:
                        yield {**head, "key": key.hex(), "value": value.hex()}
                    elif name:
                        yield {**head, name: self.message(name + "Key", 0, key),
                               "value": value and self.message(name + "Value", None, value)}

    def batches_of(self, side, topic, partition):
        """An answer need not have all of them."""
        offset, more = 0, True
        while more:
            part = {"partition": partition, "currentLeaderEpoch": -1, "logStartOffset": -1,
                    "fetchOffset": offset, "partitionMaxBytes": 1 << 26}
            asked = {"replicaId": -1, "maxWaitMs": 0, "minBytes": 0, "maxBytes": 1 << 26,
                     "sessionEpoch": -1, "topics": [{"topic": topic, "partitions": [part]}]}
            answer = self.answer(side, "Fetch", 11, asked)["responses"][0]["partitions"][0]
            more = batches(base64.b64decode(answer["records"] or ""))
            yield from more
            offset = more[-1]["baseOffset"] + more[-1]["lastOffsetDelta"] + 1 if more else offset

    def message(self, name, version, data):
        """Behind its number, which says the version of a value."""
        version = int.from_bytes(data[:2], "big") if version is None else version
        told = json.loads(self.decoder.ask(name, version, data[2:].hex()))
        if len(told.get("members", ())) > 1:  # after a downgrade Kafka's hash table says who leads
            told["leader"] = any(row["memberId"] == told["leader"] for row in told["members"])
        return {"version": version, **told}

    def answer(self, side, api, version, request):
        answer, _, _ = self.ask(side, Exchange(api, version, "-", json.dumps(request)))
        return answer

    def logs(self):
        """Both have written the same, partition for partition, in the same order."""
        for topic in RECORDS:
            told = []
            for side in (self.real, self.ours):
                rows = self.records(side, topic)
                told.append([plain(side.ids, "records", "", row) for row in rows])
            if told[0] != told[1]:
                self.wrong += 1
                rows = list(difflib.unified_diff(*([json.dumps(row) for row in rows] for rows in told),
                                                 "Kafka", "ours", n=0, lineterm=""))
                print(f"{topic}: {len(told[0])} records and {len(told[1])}")
                print("\n".join("    " + row[:1000] for row in rows[2:200]))

    def missing(self):
        for api in sorted(self.common):
            for version in range(*self.range_of(api)):
                if version not in self.played.get(api, {}):
                    yield f"{api} v{version}"


def main():
    kf, real, ours, name, *files = sys.argv[1:]
    play = Play(kf, real, ours, name)
    for path in files:
        play.file(path)
    play.logs()
    missing = list(play.missing())
    count = sum(sum(versions.values()) for versions in play.played.values())
    if missing:
        print("not played:", ", ".join(missing))
    print(f"{count} exchanges of {len(play.played)} APIs, {play.wrong or 'no'} other answers")
    sys.exit(1 if play.wrong or missing else 0)


if __name__ == "__main__":
    main()
