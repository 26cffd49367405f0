/*
 * Cluster: Kafka's own admin client, for setting a test up and for asking what came of it.
 *
 *     Cluster BOOTSTRAP create TOPIC PARTITIONS REPLICAS [KEY=VALUE]…
 *     Cluster BOOTSTRAP grow TOPIC PARTITIONS
 *     Cluster BOOTSTRAP delete TOPIC…
 *     Cluster BOOTSTRAP truncate TOPIC PARTITION OFFSET    deletes the records before OFFSET
 *     Cluster BOOTSTRAP ends TOPIC                         PARTITION START END, a line each
 *     Cluster BOOTSTRAP committed GROUP                    TOPIC PARTITION OFFSET, a line each
 *     Cluster BOOTSTRAP lag GROUP                          the sum over what the group committed
 *     Cluster BOOTSTRAP members GROUP                      STATE, then CLIENT: t-0 t-1, a line each
 *     Cluster BOOTSTRAP remove GROUP                       deletes the group
 *
 * Each waits until it is done; an error is a stack trace and exit 1.
 */
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

public class Cluster {
    private static Admin admin;

    public static void main(String[] args) throws Exception {
        admin = Admin.create(Map.of("bootstrap.servers", args[0]));
        try {
            run(args[1], Arrays.copyOfRange(args, 2, args.length));
        } finally {
            admin.close();
        }
    }

    private static void run(String verb, String[] args) throws Exception {
        switch (verb) {
        case "create": create(args); break;
        case "grow":
            admin.createPartitions(
                Map.of(args[0], NewPartitions.increaseTo(Integer.parseInt(args[1])))).all().get();
            break;
        case "delete": admin.deleteTopics(List.of(args)).all().get(); break;
        case "truncate":
            admin.deleteRecords(Map.of(new TopicPartition(args[0], Integer.parseInt(args[1])),
                RecordsToDelete.beforeOffset(Long.parseLong(args[2])))).all().get();
            break;
        case "ends": ends(args[0]); break;
        case "committed": committed(args[0]); break;
        case "lag": lag(args[0]); break;
        case "members": members(args[0]); break;
        case "remove": admin.deleteConsumerGroups(List.of(args[0])).all().get(); break;
        default: throw new IllegalArgumentException(verb);
        }
    }

    /* Done when every partition has a leader, which is later than the broker's answer. */
    private static void create(String[] args) throws Exception {
        int partitions = Integer.parseInt(args[1]);
        Map<String, String> configs = new HashMap<>();
        for (int i = 3; i < args.length; i++)
            configs.put(args[i].split("=", 2)[0], args[i].split("=", 2)[1]);
        NewTopic topic = new NewTopic(args[0], partitions, Short.parseShort(args[2]));
        admin.createTopics(List.of(topic.configs(configs))).all().get();
        while (true) {
            try {
                if (offsets(args[0], OffsetSpec.latest()).size() == partitions)
                    return;
            } catch (java.util.concurrent.ExecutionException e) {
                Thread.sleep(50);
            }
        }
    }

    private static Map<TopicPartition, Long> offsets(String topic, OffsetSpec which)
            throws Exception {
        Map<TopicPartition, OffsetSpec> wanted =
            admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions()
                .stream().collect(Collectors.toMap(
                    p -> new TopicPartition(topic, p.partition()), p -> which));
        Map<TopicPartition, Long> found = new HashMap<>();
        for (Map.Entry<TopicPartition, ListOffsetsResultInfo> entry :
             admin.listOffsets(wanted).all().get().entrySet())
            found.put(entry.getKey(), entry.getValue().offset());
        return found;
    }

    private static void ends(String topic) throws Exception {
        Map<TopicPartition, Long> starts = offsets(topic, OffsetSpec.earliest());
        Map<Integer, String> lines = new TreeMap<>();
        offsets(topic, OffsetSpec.latest()).forEach((partition, end) ->
            lines.put(partition.partition(), starts.get(partition) + " " + end));
        lines.forEach((partition, line) -> System.out.println(partition + " " + line));
    }

    private static Map<TopicPartition, OffsetAndMetadata> offsetsOf(String group)
            throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets =
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        offsets.values().removeIf(offset -> offset == null);
        return offsets;
    }

    private static void committed(String group) throws Exception {
        offsetsOf(group).entrySet().stream()
            .map(e -> String.format("%s %d %d", e.getKey().topic(), e.getKey().partition(),
                                    e.getValue().offset()))
            .sorted().forEach(System.out::println);
    }

    private static void lag(String group) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> done = offsetsOf(group);
        Map<TopicPartition, OffsetSpec> wanted = done.keySet().stream()
            .collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest()));
        long lag = 0;
        for (Map.Entry<TopicPartition, ListOffsetsResultInfo> entry :
             admin.listOffsets(wanted).all().get().entrySet())
            lag += entry.getValue().offset() - done.get(entry.getKey()).offset();
        System.out.println(lag);
    }

    private static void members(String group) throws Exception {
        ConsumerGroupDescription description =
            admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        System.out.println(description.groupState());
        for (MemberDescription member : description.members())
            System.out.println(member.clientId() + ": " + member.assignment().topicPartitions()
                .stream().map(TopicPartition::toString).sorted().collect(Collectors.joining(" ")));
    }
}
