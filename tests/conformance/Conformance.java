/*
 * Conformance: whether `kf codec` and Kafka's own classes agree.
 *
 *     java -cp 'libs/*' Conformance.java KF INSTANCES SEED [JAR…] [--skip FILE] [--known FILE]
 *
 * For every message at every version that the jars know, INSTANCES random
 * instances (nulls, empties, extremes, tagged and unknown tagged fields) go
 * from Kafka's classes to bytes. Then, in bulk:
 *
 *   decode    our JSON of the bytes is Kafka's JSON, once `records` and the
 *             unknown tagged fields, which Kafka drops, are left out
 *   encode    our bytes of our own JSON are the bytes again, and of Kafka's
 *             JSON where nothing was dropped
 *   refuse    JSON made wrong, which Kafka refuses, is refused
 *   truncate  the bytes cut short are refused
 *   mutate    bytes changed at random never stop the process
 *   rows      `kf codec schema` says what the specification in the jar says
 *
 * --known writes the message-versions met, --skip leaves out those listed:
 * so an older jar is asked only for what the newer one has no more.
 */
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.*;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import java.io.*;
import java.lang.reflect.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.zip.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.RawTaggedField;

public class Conformance {
    static final ObjectMapper JSON = JsonMapper.builder()
        .enable(JsonReadFeature.ALLOW_JAVA_COMMENTS).build();
    static final int MOST_FAILURES_SHOWN = 20;
    static Random random;
    static String kf;
    static int failures;

    /* A message: its specification, class and converter. */
    static class Spec {
        String name;
        JsonNode json;
        Class<?> type, converter;
        int first, last, flexible;
        final Map<String, JsonNode> structs = new HashMap<>();
    }

    /* A line for the codec, and what should come back. */
    static class Case {
        Spec spec;
        short version;
        byte[] bytes;
        JsonNode json;       /* Kafka's */
        boolean dropped;     /* Kafka's JSON lacks records or unknown tags */
        String ours;
        String line() { return spec.name + "\t" + version + "\t"; }
    }

    record Range(int first, int last) {
        static final Range NONE = new Range(0, -1);
        static Range of(JsonNode node, Range otherwise) {
            if (node == null) return otherwise;
            String text = node.asText().trim();
            if (text.equals("none")) return NONE;
            if (text.endsWith("+")) return new Range(Integer.parseInt(text.substring(0, text.length() - 1)), Short.MAX_VALUE);
            String[] ends = text.split("-");
            return new Range(Integer.parseInt(ends[0]), Integer.parseInt(ends[ends.length - 1]));
        }
        boolean has(int version) { return version >= first && version <= last; }
    }

    static Range versions(JsonNode field) {
        return Range.of(field.get("versions"), Range.of(field.get("taggedVersions"), Range.NONE));
    }
    static boolean nullable(JsonNode field, int version) {
        return versions(field).has(version) && Range.of(field.get("nullableVersions"), Range.NONE).has(version);
    }
    static boolean tagged(JsonNode field, int version) {
        return Range.of(field.get("taggedVersions"), Range.NONE).has(version);
    }
    static boolean flag(JsonNode field, String name) {
        return field.has(name) && field.get(name).asText().equalsIgnoreCase("true");
    }
    static String lowered(String name) { return name.substring(0, 1).toLowerCase(Locale.ROOT) + name.substring(1); }

    /* ---- the specifications ---- */

    static void collect(Spec spec, JsonNode fields) {
        for (JsonNode field : fields) {
            String type = element(field);
            if (field.has("fields")) {
                spec.structs.put(type, field.get("fields"));
                collect(spec, field.get("fields"));
            }
        }
    }
    static String element(JsonNode field) { return field.get("type").asText().replaceFirst("^\\[\\]", ""); }
    static boolean isArray(JsonNode field) { return field.get("type").asText().startsWith("[]"); }
    static boolean isStruct(JsonNode field) { return Character.isUpperCase(element(field).charAt(0)); }

    static List<Spec> load(List<String> jars) throws Exception {
        List<Spec> specs = new ArrayList<>();
        for (String jar : jars) try (ZipFile zip = new ZipFile(jar)) {
            Map<String, String> classes = new HashMap<>();
            for (var e : Collections.list(zip.entries()))
                if (e.getName().endsWith("JsonConverter.class") && !e.getName().contains("$")) {
                    String path = e.getName().substring(0, e.getName().length() - ".class".length());
                    classes.put(path.substring(path.lastIndexOf('/') + 1), path.replace('/', '.'));
                }
            for (var e : Collections.list(zip.entries())) {
                if (!e.getName().endsWith(".json") || !e.getName().matches("(common/)?(message|metadata)/.*")) continue;
                JsonNode json = JSON.readTree(zip.getInputStream(e));
                if (json.get("validVersions").asText().equals("none") || !json.has("fields")) continue;
                Spec spec = new Spec();
                spec.name = json.get("name").asText();
                spec.json = json;
                Range valid = Range.of(json.get("validVersions"), Range.NONE);
                Range flexible = Range.of(json.get("flexibleVersions"), Range.NONE);
                spec.first = valid.first;
                spec.last = valid.last;
                spec.flexible = flexible == Range.NONE ? Integer.MAX_VALUE : flexible.first;
                for (JsonNode common : json.path("commonStructs")) {
                    spec.structs.put(common.get("name").asText(), common.get("fields"));
                    collect(spec, common.get("fields"));
                }
                collect(spec, json.get("fields"));
                String converter = classes.getOrDefault(spec.name + "DataJsonConverter", classes.get(spec.name + "JsonConverter"));
                spec.converter = Class.forName(converter);
                spec.type = Class.forName(converter.substring(0, converter.length() - "JsonConverter".length()));
                specs.add(spec);
            }
        }
        specs.sort(Comparator.comparing(s -> s.name));
        return specs;
    }

    /* ---- random instances ---- */

    static long number(int bits, boolean signed) {
        long least = signed ? -1L << (bits - 1) : 0;
        long most = signed ? ~least : (1L << bits) - 1;
        return switch (random.nextInt(6)) {
            case 0 -> 0;
            case 1 -> least;
            case 2 -> most;
            case 3 -> signed ? -1 : 1;
            default -> signed ? random.nextLong() >> (64 - bits) : random.nextLong() >>> (64 - bits);
        };
    }
    static JsonNode text() {
        int size = switch (random.nextInt(12)) { case 0, 1 -> 0; case 2 -> 200; case 3 -> random.nextInt(20) == 0 ? 32767 : 127; default -> random.nextInt(12); };
        StringBuilder text = new StringBuilder();
        while (text.length() < size)
            text.append(switch (size > 100 ? 9 : random.nextInt(20)) {
                case 0 -> "é"; case 1 -> "漢"; case 2 -> "😀"; case 3 -> "\""; case 4 -> "\\"; case 5 -> "\n"; case 6 -> "\u0001"; case 7 -> "\u007f"; case 8 -> "/";
                default -> String.valueOf((char) ('a' + random.nextInt(26))); });
        return TextNode.valueOf(text.toString());
    }
    static byte[] bytes() {
        byte[] bytes = new byte[random.nextInt(8) == 0 ? 0 : random.nextInt(random.nextInt(10) == 0 ? 300 : 20)];
        random.nextBytes(bytes);
        return bytes;
    }
    static JsonNode value(Spec spec, JsonNode field, int version) {
        String type = element(field);
        return switch (type) {
            case "bool" -> BooleanNode.valueOf(random.nextBoolean());
            case "int8" -> IntNode.valueOf((int) number(8, true));
            case "int16" -> IntNode.valueOf((int) number(16, true));
            case "uint16" -> IntNode.valueOf((int) number(16, false));
            case "int32" -> IntNode.valueOf((int) number(32, true));
            case "uint32" -> LongNode.valueOf(number(32, false));
            case "int64" -> LongNode.valueOf(number(64, true));
            case "float64" -> DoubleNode.valueOf(switch (random.nextInt(6)) { case 0 -> 0.0; case 1 -> -0.0; case 2 -> Double.MAX_VALUE; case 3 -> Double.MIN_NORMAL; case 4 -> random.nextInt(1000) / 8.0; default -> random.nextGaussian() * 1e9; });
            case "string" -> text();
            case "bytes", "records" -> TextNode.valueOf(Base64.getEncoder().encodeToString(bytes()));
            case "uuid" -> TextNode.valueOf(random.nextInt(4) == 0 ? Uuid.ZERO_UUID.toString() : new Uuid(random.nextLong(), random.nextLong()).toString());
            default -> object(spec, spec.structs.get(type), version);
        };
    }
    static ObjectNode object(Spec spec, JsonNode fields, int version) {
        ObjectNode object = JSON.createObjectNode();
        for (JsonNode field : fields) {
            if (!versions(field).has(version)) continue;
            if (tagged(field, version) && random.nextInt(2) == 0) continue;
            String name = lowered(field.get("name").asText());
            if (nullable(field, version) && random.nextInt(4) == 0) {
                object.set(name, NullNode.instance);
            } else if (isArray(field)) {
                ArrayNode array = object.putArray(name);
                int count = random.nextInt(4);
                if (count == 3 && !isStruct(field) && random.nextInt(4) == 0) count = 130;
                for (int i = 0; i < count; i++) array.add(value(spec, field, version));
            } else {
                object.set(name, value(spec, field, version));
            }
        }
        return object;
    }

    /* Unknown tags somewhere inside the message; whether any was added. */
    static boolean addUnknownTags(Spec spec, JsonNode fields, Message message, int version) throws Exception {
        boolean added = false;
        if (random.nextInt(3) == 0) {
            int tag = 100 + random.nextInt(3);
            for (int i = random.nextInt(3); i >= 0; i--, tag += 1 + random.nextInt(100000))
                message.unknownTaggedFields().add(new RawTaggedField(tag, bytes()));
            added = true;
        }
        for (JsonNode field : fields) {
            if (!versions(field).has(version) || !isStruct(field)) continue;
            Object value = message.getClass().getMethod(lowered(field.get("name").asText())).invoke(message);
            JsonNode inner = spec.structs.get(element(field));
            if (value instanceof Message m) added |= addUnknownTags(spec, inner, m, version);
            if (value instanceof Collection<?> c)
                for (Object element : c) added |= addUnknownTags(spec, inner, (Message) element, version);
        }
        return added;
    }
    static Message read(Spec spec, JsonNode json, int version) throws Exception {
        try {
            return (Message) spec.converter.getMethod("read", JsonNode.class, short.class).invoke(null, json, (short) version);
        } catch (InvocationTargetException e) {
            throw (Exception) (e.getCause() instanceof Exception x ? x : new RuntimeException(e.getCause()));
        }
    }
    static byte[] write(Message message, int version) {
        var cache = new ObjectSerializationCache();
        byte[] bytes = new byte[message.size(cache, (short) version)];
        var buffer = ByteBuffer.wrap(bytes);
        message.write(new ByteBufferAccessor(buffer), cache, (short) version);
        if (buffer.hasRemaining()) throw new IllegalStateException("size and write differ");
        return bytes;
    }
    static JsonNode print(Spec spec, Message message, int version) throws Exception {
        return (JsonNode) spec.converter.getMethod("write", spec.type, short.class).invoke(null, message, (short) version);
    }
    static Message parse(Spec spec, byte[] bytes, int version) throws Exception {
        return (Message) spec.type.getConstructor(org.apache.kafka.common.protocol.Readable.class, short.class).newInstance(new ByteBufferAccessor(ByteBuffer.wrap(bytes)), (short) version);
    }
    static boolean hasRecords(JsonNode fields, Spec spec, int version) {
        for (JsonNode field : fields) {
            if (!versions(field).has(version)) continue;
            if (element(field).equals("records")) return true;
            if (isStruct(field) && hasRecords(spec.structs.get(element(field)), spec, version)) return true;
        }
        return false;
    }
    static Case instance(Spec spec, int version) throws Exception {
        Case c = new Case();
        c.spec = spec;
        c.version = (short) version;
        Message message = read(spec, object(spec, spec.json.get("fields"), version), version);
        boolean tags = version >= spec.flexible && random.nextInt(2) == 0 && addUnknownTags(spec, spec.json.get("fields"), message, version);
        c.dropped = tags || hasRecords(spec.json.get("fields"), spec, version);
        c.bytes = write(message, version);
        c.json = print(spec, parse(spec, c.bytes, version), version);
        return c;
    }

    /* ---- the codec, asked in bulk ---- */

    static List<String> ask(String verb, List<String> lines) throws Exception {
        Path in = Files.createTempFile("conformance", ".in"), out = Files.createTempFile("conformance", ".out");
        try {
            Files.write(in, lines, StandardCharsets.UTF_8);
            Process process = new ProcessBuilder(kf, "codec", verb).redirectInput(in.toFile())
                .redirectOutput(out.toFile()).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            int code = process.waitFor();
            List<String> answers = Files.readAllLines(out, StandardCharsets.UTF_8);
            if (code != 0 || answers.size() != lines.size())
                throw new IllegalStateException("kf codec " + verb + " ended with " + code + " after " + answers.size() + " of " + lines.size() + " lines"
                    + (answers.size() < lines.size() ? ", at " + lines.get(answers.size()) : ""));
            return answers;
        } finally {
            Files.delete(in);
            Files.delete(out);
        }
    }
    static String cut(String text) { return text.length() > 600 ? text.substring(0, 600) + "…" : text; }
    static void fail(String what, String line, String wanted, String got) {
        if (++failures <= MOST_FAILURES_SHOWN)
            System.out.println("FAIL " + what + "\n  case " + cut(line) + "\n  want " + cut(wanted) + "\n  got  " + cut(got));
    }
    static String hex(byte[] bytes) { return HexFormat.of().formatHex(bytes); }

    /* Our JSON without what Kafka's lacks. */
    static JsonNode strip(Spec spec, JsonNode fields, JsonNode node) {
        if (node == null || !node.isObject()) return node;
        ObjectNode object = (ObjectNode) node;
        object.remove("_unknownTaggedFields");
        for (JsonNode field : fields) {
            String name = lowered(field.get("name").asText());
            JsonNode value = object.get(name);
            if (value == null || value.isNull()) continue;
            if (element(field).equals("records")) object.put(name, "");
            if (!isStruct(field)) continue;
            JsonNode inner = spec.structs.get(element(field));
            if (isArray(field)) for (JsonNode element : value) strip(spec, inner, element);
            else strip(spec, inner, value);
        }
        return object;
    }

    /* ---- the checks ---- */

    static int decode(List<Case> cases) throws Exception {
        List<String> lines = new ArrayList<>();
        for (Case c : cases) lines.add(c.line() + hex(c.bytes));
        List<String> answers = ask("decode", lines);
        for (int i = 0; i < lines.size(); i++) {
            Case c = cases.get(i);
            c.ours = answers.get(i);
            String wanted = c.json.toString();
            String got = c.ours;
            if (!got.startsWith("error") && (c.dropped || !got.equals(wanted))) {
                /* Through text on both sides: nodes of equal text may differ in type. */
                JsonNode want = JSON.readTree(wanted);
                if (c.dropped) want = strip(c.spec, c.spec.json.get("fields"), want);
                JsonNode have = JSON.readTree(got);
                if (c.dropped) have = strip(c.spec, c.spec.json.get("fields"), have);
                if (have.equals(want)) continue;
            }
            if (!got.equals(wanted)) fail("decode", lines.get(i), wanted, got);
        }
        return lines.size();
    }
    static int encode(List<Case> cases) throws Exception {
        List<String> lines = new ArrayList<>(), wanted = new ArrayList<>();
        for (Case c : cases) {
            lines.add(c.line() + c.ours);
            wanted.add(hex(c.bytes));
            if (c.dropped) continue;
            lines.add(c.line() + c.json);
            wanted.add(hex(c.bytes));
        }
        List<String> answers = ask("encode", lines);
        for (int i = 0; i < lines.size(); i++)
            if (!answers.get(i).equals(wanted.get(i))) fail("encode", lines.get(i), wanted.get(i), answers.get(i));
        return lines.size();
    }

    /* One change to a random object inside: a key less, null, another type, a field of other versions. */
    static JsonNode spoil(Spec spec, JsonNode good) {
        JsonNode copy = good.deepCopy();
        List<ObjectNode> objects = new ArrayList<>();
        List<JsonNode> fieldsOf = new ArrayList<>();
        gather(spec, spec.json.get("fields"), copy, objects, fieldsOf);
        int pick = random.nextInt(objects.size());
        ObjectNode object = objects.get(pick);
        JsonNode fields = fieldsOf.get(pick);
        if (fields.isEmpty()) return copy;
        JsonNode field = fields.get(random.nextInt(fields.size()));
        String name = lowered(field.get("name").asText());
        switch (random.nextInt(7)) {
            case 0 -> object.remove(name);
            case 1 -> object.putNull(name);
            case 2 -> object.put(name, random.nextBoolean() ? "no such value" : "17");
            case 3 -> object.put(name, 1.5);
            case 4 -> object.put(name, Long.MAX_VALUE);
            case 5 -> object.putArray(name);
            default -> {
                if (isArray(field)) object.putArray(name).add(value(spec, field, versions(field).first));
                else object.set(name, value(spec, field, versions(field).first));
            }
        }
        return copy;
    }
    static void gather(Spec spec, JsonNode fields, JsonNode node, List<ObjectNode> objects, List<JsonNode> fieldsOf) {
        if (!node.isObject()) return;
        objects.add((ObjectNode) node);
        fieldsOf.add(fields);
        for (JsonNode field : fields) {
            JsonNode value = node.get(lowered(field.get("name").asText()));
            if (value == null || !isStruct(field)) continue;
            JsonNode inner = spec.structs.get(element(field));
            if (isArray(field)) for (JsonNode element : value) gather(spec, inner, element, objects, fieldsOf);
            else gather(spec, inner, value, objects, fieldsOf);
        }
    }
    static int accepted, refused;
    static int refuse(List<Case> cases) throws Exception {
        List<String> lines = new ArrayList<>(), wanted = new ArrayList<>();
        for (Case c : cases) {
            JsonNode bad = spoil(c.spec, c.json);
            String want;
            try {
                want = hex(write(read(c.spec, JSON.readTree(bad.toString()), c.version), c.version));
            } catch (Exception e) {
                want = null;
            }
            lines.add(c.line() + bad);
            wanted.add(want);
        }
        List<String> answers = ask("encode", lines);
        for (int i = 0; i < lines.size(); i++) {
            boolean error = answers.get(i).startsWith("error");
            if (wanted.get(i) == null) {
                refused++;
                if (!error) fail("refuse", lines.get(i), "an error", answers.get(i));
            } else {
                accepted++;
                if (!answers.get(i).equals(wanted.get(i))) fail("accept", lines.get(i), wanted.get(i), answers.get(i));
            }
        }
        return lines.size();
    }
    static int truncate(List<Case> cases) throws Exception {
        List<String> lines = new ArrayList<>();
        for (Case c : cases) {
            if (c.bytes.length == 0) continue;
            Set<Integer> cuts = new TreeSet<>(List.of(0, c.bytes.length - 1));
            while (cuts.size() < Math.min(4, c.bytes.length)) cuts.add(random.nextInt(c.bytes.length));
            for (int at : cuts) lines.add(c.line() + hex(Arrays.copyOf(c.bytes, at)));
        }
        List<String> answers = ask("decode", lines);
        for (int i = 0; i < lines.size(); i++)
            if (!answers.get(i).startsWith("error")) fail("truncate", lines.get(i), "an error", answers.get(i));
        return lines.size();
    }

    /* What both accept, both must read alike; what only Kafka accepts is where it is lax. */
    static int laxer;
    static final Map<String, Integer> stricter = new TreeMap<>();
    static int mutate(List<Case> cases) throws Exception {
        List<Case> mutants = new ArrayList<>();
        List<String> lines = new ArrayList<>();
        for (Case c : cases) {
            if (c.bytes.length == 0) continue;
            Case mutant = new Case();
            mutant.spec = c.spec;
            mutant.version = c.version;
            mutant.dropped = true;
            mutant.bytes = c.bytes.clone();
            for (int i = random.nextInt(3); i >= 0; i--)
                mutant.bytes[random.nextInt(mutant.bytes.length)] = (byte) (random.nextBoolean() ? random.nextInt(256) : random.nextInt(4) - 1);
            mutants.add(mutant);
            lines.add(mutant.line() + hex(mutant.bytes));
        }
        List<String> answers = ask("decode", lines);
        for (int i = 0; i < lines.size(); i++) {
            Case mutant = mutants.get(i);
            boolean error = answers.get(i).startsWith("error");
            JsonNode wanted = null;
            boolean whole = false;
            try {
                ByteBuffer buffer = ByteBuffer.wrap(mutant.bytes);
                Message message = (Message) mutant.spec.type.getConstructor(org.apache.kafka.common.protocol.Readable.class, short.class).newInstance(new ByteBufferAccessor(buffer), mutant.version);
                wanted = print(mutant.spec, message, mutant.version);
                whole = !buffer.hasRemaining() || mutant.spec.name.startsWith("ConsumerProtocol");
            } catch (Exception | OutOfMemoryError e) {
                wanted = null;
            }
            if (wanted != null && error && whole)
                stricter.merge(answers.get(i).replaceAll(".*\\((.*)\\)$", "$1"), 1, Integer::sum);
            if (wanted == null && !error) {
                laxer++;
                fail("mutate: Kafka refuses", lines.get(i), "an error", answers.get(i));
            }
            if (wanted == null || error) continue;
            JsonNode want = strip(mutant.spec, mutant.spec.json.get("fields"), JSON.readTree(wanted.toString()));
            JsonNode have = strip(mutant.spec, mutant.spec.json.get("fields"), JSON.readTree(answers.get(i)));
            if (mutant.spec.name.startsWith("ConsumerProtocol")) ((ObjectNode) have).remove("_tail"); /* Kafka drops it */
            if (!have.equals(want)) fail("mutate", lines.get(i), want.toString(), have.toString());
        }
        return lines.size();
    }

    /* ---- rows against the specification, one line for each field of each version ---- */

    static String defaultOf(JsonNode field) {
        JsonNode given = field.get("default");
        if (given != null && given.isNull()) given = null; /* Kafka's generator knows only the text "null" */
        if (given != null && given.asText().equals("null")) return "null";
        if (isArray(field)) return "-";
        String type = element(field);
        if (type.equals("bool")) return given == null ? "false" : given.asText().toLowerCase(Locale.ROOT);
        if (type.matches("u?int.*|float64")) return given == null || given.asText().isEmpty() ? "0" : String.valueOf(Long.decode(given.asText()));
        return "-";
    }
    static void specRows(Spec spec, JsonNode fields, String prefix, int version, List<String> rows) {
        for (JsonNode field : fields) {
            if (!versions(field).has(version)) continue;
            String path = prefix + lowered(field.get("name").asText());
            String type = (isArray(field) ? "[]" : "") + (isStruct(field) ? "struct" : element(field));
            rows.add(String.join("\t", path, type, nullable(field, version) ? "nullable" : "-",
                tagged(field, version) ? field.get("tag").asText() : "-", defaultOf(field), flag(field, "ignorable") && lacking(spec, versions(field)) ? "ignorable" : "-",
                version >= spec.flexible && Range.of(field.get("flexibleVersions"), versions(field)).has(version) ? "flexible" : "-"));
            if (isStruct(field)) specRows(spec, spec.structs.get(element(field)), path + ".", version, rows);
        }
    }
    /* Ignorable means something only where a version lacks the field. */
    static boolean lacking(Spec spec, Range range) { return range.first > spec.first || range.last < spec.last; }
    static Range shown(String text) {
        return text.equals("-") ? Range.NONE : Range.of(TextNode.valueOf(text), Range.NONE);
    }
    static int rows(List<Spec> specs, Map<String, Set<Integer>> wanted) throws Exception {
        Process process = new ProcessBuilder(kf, "codec", "schema").redirectError(ProcessBuilder.Redirect.INHERIT).start();
        Map<String, List<String[]>> ours = new HashMap<>();
        try (var reader = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line; (line = reader.readLine()) != null;) {
                String[] columns = line.split("\t");
                ours.computeIfAbsent(columns[0], k -> new ArrayList<>()).add(columns);
            }
        }
        int compared = 0;
        for (Spec spec : specs) for (int version : wanted.getOrDefault(spec.name, Set.of())) {
            List<String> want = new ArrayList<>(), have = new ArrayList<>();
            specRows(spec, spec.json.get("fields"), "", version, want);
            Set<String> absent = new HashSet<>(); /* structs that the version lacks, with all inside */
            for (String[] c : ours.getOrDefault(spec.name, List.of())) {
                String parent = c[1].contains(".") ? c[1].substring(0, c[1].lastIndexOf('.')) : "";
                if (absent.contains(parent) || !shown(c[3]).has(version)) { absent.add(c[1]); continue; }
                have.add(String.join("\t", c[1], c[2], shown(c[4]).has(version) ? "nullable" : "-", c[5], c[6], c[7].equals("ignorable") && lacking(spec, shown(c[3])) ? "ignorable" : "-",
                    shown(c[8]).has(version) ? "flexible" : "-"));
            }
            compared += want.size();
            if (!have.equals(want)) {
                List<String> missing = new ArrayList<>(want), extra = new ArrayList<>(have);
                missing.removeAll(have);
                extra.removeAll(want);
                fail("rows", spec.name + " v" + version, missing.toString(), extra + (missing.isEmpty() && extra.isEmpty() ? " other order" : ""));
            }
        }
        return compared;
    }

    public static void main(String[] args) {
        try {
            System.exit(run(args) ? 0 : 1);
        } catch (Throwable e) { /* the source launcher trips over some traces */
            e.printStackTrace();
            System.exit(2);
        }
    }

    static boolean run(String[] args) throws Exception {
        kf = args[0];
        int instances = Integer.parseInt(args[1]);
        random = new Random(Long.parseLong(args[2]));
        List<String> jars = new ArrayList<>();
        Set<String> skip = new HashSet<>();
        String known = null;
        for (int i = 3; i < args.length; i++) {
            if (args[i].equals("--skip")) skip.addAll(Files.readAllLines(Path.of(args[++i])));
            else if (args[i].equals("--known")) known = args[++i];
            else jars.add(args[i]);
        }
        List<Spec> specs = load(jars);
        Map<String, Set<Integer>> wanted = new HashMap<>();
        List<String> met = new ArrayList<>();
        Set<String> messages = new TreeSet<>();
        List<Case> cases = new ArrayList<>();
        int versions = 0;
        int[] counts = new int[5];
        for (Spec spec : specs) for (int v = spec.first; v <= spec.last; v++) {
            if (skip.contains(spec.name + " " + v)) continue;
            met.add(spec.name + " " + v);
            messages.add(spec.name);
            wanted.computeIfAbsent(spec.name, k -> new TreeSet<>()).add(v);
            versions++;
        }
        if (known != null) Files.write(Path.of(known), met);
        System.out.println(messages.size() + " messages, " + versions + " message-versions, seed " + args[2]);
        System.out.println("rows: " + rows(specs, wanted) + " fields compared");
        for (int done = 0; done < instances; done += 20) {
            cases.clear();
            for (Spec spec : specs) for (int v : wanted.getOrDefault(spec.name, Set.of()))
                for (int i = done; i < Math.min(done + 20, instances); i++) cases.add(instance(spec, v));
            counts[0] += decode(cases);
            counts[1] += encode(cases);
            counts[2] += refuse(cases);
            counts[3] += truncate(cases);
            counts[4] += mutate(cases);
        }
        System.out.println("decode: " + counts[0] + " instances");
        System.out.println("encode: " + counts[1] + " lines");
        System.out.println("spoiled JSON: " + counts[2] + " lines, Kafka refuses " + refused + ", accepts " + accepted);
        System.out.println("truncations: " + counts[3]);
        System.out.println("mutations: " + counts[4] + ", refused by us alone: " + stricter + ", by Kafka alone: " + laxer);
        System.out.println(failures == 0 ? "all agree" : failures + " FAILURES");
        return failures == 0;
    }
}
