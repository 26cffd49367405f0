/*
 * Wire: what Kafka's own generated classes make of a message, as golden vectors for our codec.
 *
 *     enc NAME VERSION JSON  ──▶  hex          dec NAME VERSION HEX  ──▶  JSON
 *     versions NAME          ──▶  LOW HIGH     messages              ──▶  NAME NAME …
 *
 * One line in, one line out; "ERR …" when Kafka refuses, "JSON TRAILING n" when bytes are left.
 * NAME is the schema's: MetadataRequest, RequestHeader, ConsumerProtocolSubscription, and those of
 * the internal topics, OffsetCommitValue and the like. The bytes are the body alone: a header is a
 * message of its own, and ApiMessageType says its version (`header NAME VERSION` prints it).
 */
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.Readable;

public class Wire {
    private static final List<String> PACKAGES = List.of(
        "org.apache.kafka.common.message.",
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.common.metadata.");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        String line;
        while ((line = in.readLine()) != null)
            System.out.println(answer(line.split(" ", 4)));
    }

    private static String answer(String[] words) {
        try {
            switch (words[0]) {
            case "enc": return encode(find(words[1]), Short.parseShort(words[2]), words[3]);
            case "dec":
                return decode(find(words[1]), Short.parseShort(words[2]),
                              words.length > 3 ? words[3] : "");
            case "versions": return versions(find(words[1]));
            case "header": return header(words[1], Short.parseShort(words[2]));
            case "messages": return messages();
            default: return "ERR unknown verb " + words[0];
            }
        } catch (InvocationTargetException e) {
            return "ERR " + oneLine(e.getCause());
        } catch (Exception e) {
            return "ERR " + oneLine(e);
        }
    }

    private static String oneLine(Throwable e) { return e.toString().replace('\n', ' '); }

    private static Class<?> find(String name) throws ClassNotFoundException {
        for (String prefix : PACKAGES)
            for (String suffix : List.of("Data", ""))
                try {
                    return Class.forName(prefix + name + suffix);
                } catch (ClassNotFoundException e) {
                    continue;
                }
        throw new ClassNotFoundException(name);
    }

    private static Class<?> converter(Class<?> type) throws ClassNotFoundException {
        return Class.forName(type.getName() + "JsonConverter");
    }

    private static String encode(Class<?> type, short version, String json) throws Exception {
        Message message = (Message) converter(type).getMethod("read", JsonNode.class, short.class)
            .invoke(null, JSON.readTree(json), version);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer bytes = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(bytes), cache, version);
        return HEX.formatHex(bytes.array(), 0, bytes.position());
    }

    private static String decode(Class<?> type, short version, String hex) throws Exception {
        ByteBuffer bytes = ByteBuffer.wrap(HEX.parseHex(hex));
        Object message = type.getConstructor(Readable.class, short.class)
            .newInstance(new ByteBufferAccessor(bytes), version);
        Object json = converter(type).getMethod("write", type, short.class)
            .invoke(null, message, version);
        return json + (bytes.hasRemaining() ? " TRAILING " + bytes.remaining() : "");
    }

    private static String versions(Class<?> type) throws Exception {
        return type.getField("LOWEST_SUPPORTED_VERSION").get(null) + " "
            + type.getField("HIGHEST_SUPPORTED_VERSION").get(null);
    }

    private static String header(String name, short version) {
        for (ApiMessageType api : ApiMessageType.values()) {
            if (name.equals(api.name + "Request"))
                return "" + api.requestHeaderVersion(version);
            if (name.equals(api.name + "Response"))
                return "" + api.responseHeaderVersion(version);
        }
        return "ERR no request or response " + name;
    }

    private static String messages() {
        return Stream.of(ApiMessageType.values())
            .flatMap(api -> Stream.of(api.name + "Request", api.name + "Response"))
            .collect(Collectors.joining(" "));
    }
}
