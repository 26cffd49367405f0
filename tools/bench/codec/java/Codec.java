// The same files as bench_codec, by Kafka's own classes: prints "who what nanoseconds".
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.Supplier;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

public class Codec {
    static final long LEAST_NS = 200_000_000; // of one measurement, in CPU time
    static final com.sun.management.OperatingSystemMXBean OS =
        (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    static ApiMessage message;
    static ByteBuffer out;

    static double timeOf(Runnable step) {
        long rounds = 0, begin = OS.getProcessCpuTime(), took;
        do {
            for (int i = 0; i < 10; i++) step.run();
            rounds += 10;
            took = OS.getProcessCpuTime() - begin;
        } while (took < LEAST_NS);
        return (double) took / rounds;
    }

    static void measure(String name, short version, Supplier<ApiMessage> make, String folder)
            throws Exception {
        byte[] want = Files.readAllBytes(Path.of(folder, name + ".bin"));
        Runnable decode = () -> {
            message = make.get();
            message.read(new ByteBufferAccessor(ByteBuffer.wrap(want)), version);
        };
        Runnable encode = () -> {
            ObjectSerializationCache cache = new ObjectSerializationCache();
            int size = message.size(cache, version);
            if (out == null || out.capacity() < size) out = ByteBuffer.allocate(size);
            out.clear();
            message.write(new ByteBufferAccessor(out), cache, version);
        };
        decode.run();
        encode.run();
        if (!Arrays.equals(want, Arrays.copyOf(out.array(), out.position())))
            throw new AssertionError(name + ": other bytes");
        for (int i = 0; i < 10; i++) { // until the compiler has had its say
            timeOf(decode);
            timeOf(encode);
        }
        System.out.printf("java %s-decode %.0f%n", name, timeOf(decode));
        System.out.printf("java %s-encode %.0f%n", name, timeOf(encode));
    }

    public static void main(String[] args) throws Exception {
        measure("fetch", (short) 18, FetchResponseData::new, args[0]);
        measure("metadata", (short) 13, MetadataResponseData::new, args[0]);
        measure("join", (short) 9, JoinGroupResponseData::new, args[0]);
    }
}
