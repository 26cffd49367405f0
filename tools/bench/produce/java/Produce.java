/*
 * Produce: the same work by Kafka's own producer.
 *
 *     Produce --bootstrap HOST:PORT --topic T --partitions P --records N --size B [-X name=value]...
 */
import java.lang.management.ManagementFactory;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Produce {
    private static final int VALUES = 1024, LOOK_EVERY = 1024;

    private static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory
                .getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static String option(String[] args, String name, String fallback) {
        for (int i = 0; i + 1 < args.length; i++)
            if (args[i].equals(name))
                return args[i + 1];
        return fallback;
    }

    private static byte[][] values(int size) {
        byte[][] values = new byte[VALUES][size];
        for (int i = 0; i < VALUES; i++)
            for (int at = 0; at < size; at++)
                values[i][at] = (byte) (at < 8 ? (i >> at) % 10 + '0'
                                               : (i * 31 + at * 7 + i * at % 11) % 26 + 'a');
        return values;
    }

    public static void main(String[] args) throws Exception {
        long records = Long.parseLong(option(args, "--records", "5000000"));
        int partitions = Integer.parseInt(option(args, "--partitions", "1"));
        int size = Integer.parseInt(option(args, "--size", "100"));
        String topic = option(args, "--topic", "events");
        Properties settings = new Properties();
        settings.put("bootstrap.servers", option(args, "--bootstrap", "127.0.0.1:24100"));
        for (int i = 0; i + 1 < args.length; i++)
            if (args[i].equals("-X"))
                settings.put(args[i + 1].split("=", 2)[0], args[i + 1].split("=", 2)[1]);
        byte[][] values = values(size);
        AtomicLong acknowledged = new AtomicLong();
        long fromRecords = 0, fromCpu = 0, fromTime = 0;
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                 settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (long i = 0; i < records; i++) {
                producer.send(new ProducerRecord<>(topic, (int) (i % partitions), null,
                                                   values[(int) (i % VALUES)]),
                              (where, error) -> {
                                  if (error != null) {
                                      System.err.println(error);
                                      System.exit(1);
                                  }
                                  acknowledged.lazySet(acknowledged.get() + 1);
                              });
                if (fromTime == 0 && i % LOOK_EVERY == 0 && acknowledged.get() >= records / 10) {
                    fromRecords = acknowledged.get();
                    fromCpu = cpu();
                    fromTime = System.nanoTime();
                }
            }
            producer.flush();
        }
        if (acknowledged.get() != records)
            System.exit(1);
        long rest = records - fromRecords;
        System.out.printf("java records=%d bytes=%d cpu_ns=%.2f krecords_s=%.0f%n", records,
            records * size, (double) (cpu() - fromCpu) / rest,
            rest * 1e6 / (System.nanoTime() - fromTime));
    }
}
