/*
 * Administer: Kafka's own admin client goes through what it can on two clusters, step by step, and
 * says where the second one answers otherwise than the first, a real one.
 *
 *     Administer REAL OURS TOPIC     everything but ACLs; TOPIC does not exist yet
 *     Administer OURS TOPIC          ACLs alone, a line for each answer; who calls is a super user
 *
 * A real broker hears of what its controller has done some time after the caller did, so what is
 * read is read there again until it is what ours says, or SETTLED_MS have passed.
 */
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Administer {
    private static final long SETTLED_MS = 20_000;

    private static String[] clusters; /* the real one first */
    private static Admin[] admins;
    private static int which;   /* that is asked now, */
    private static Admin admin; /* by this one */
    private static String topic;
    private static int answers;
    private static int differences;

    public static void main(String[] args) throws Exception {
        clusters = Arrays.copyOf(args, args.length - 1);
        topic = args[args.length - 1];
        admins = Arrays.stream(clusters).map(c -> Admin.create(Map.of("bootstrap.servers", c)))
                .toArray(Admin[]::new);
        try {
            if (clusters.length == 1) {
                acls();
            } else {
                topics();
                records();
                configs();
                quotas();
                users();
                cluster();
                say("delete", () -> admin.deleteTopics(List.of(topic)).all().get());
                System.out.println(answers + " answers, " + differences + " differences");
            }
        } finally {
            for (Admin each : admins)
                each.close();
        }
        System.exit(differences > 0 ? 1 : 0);
    }

    /* What came, or which error; the topic's name is left out. */
    private static String ask(int cluster, Callable<Object> call) throws Exception {
        which = cluster;
        admin = admins[cluster];
        String answer;
        try {
            answer = String.valueOf(call.call());
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            answer = cause.getClass().getSimpleName() + ": " + cause.getMessage();
        }
        return answer.replace(topic, "TOPIC");
    }

    private static void say(String what, Callable<Object> call) throws Exception {
        String real = ask(0, call);
        if (admins.length == 1)
            System.out.println(what + ": " + real);
        else
            compare(what, real, ask(1, call));
    }

    /* As say; what is asked changes nothing. */
    private static void see(String what, Callable<Object> call) throws Exception {
        if (admins.length == 1) {
            say(what, call);
            return;
        }
        String ours = ask(1, call), real = ask(0, call);
        for (long until = System.currentTimeMillis() + SETTLED_MS;
             !real.equals(ours) && System.currentTimeMillis() < until; real = ask(0, call))
            Thread.sleep(50);
        compare(what, real, ours);
    }

    private static Set<String> lines(String text) {
        return new LinkedHashSet<>(Arrays.asList(text.split("\n")));
    }

    private static void compare(String what, String real, String ours) {
        Set<String> fromReal = lines(real), fromOurs = lines(ours);
        answers += fromOurs.size();
        if (real.equals(ours))
            return;
        Set<String> both = new HashSet<>(fromReal);
        both.retainAll(fromOurs);
        fromReal.removeAll(both);
        fromOurs.removeAll(both);
        differences += Math.max(fromReal.size(), fromOurs.size());
        fromReal.forEach(line -> System.out.println(what + ", real: " + line));
        fromOurs.forEach(line -> System.out.println(what + ", ours: " + line));
    }

    private static Object create(String name, int partitions, int replicas, String... config)
            throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int i = 0; i < config.length; i += 2)
            configs.put(config[i], config[i + 1]);
        NewTopic fresh = new NewTopic(name, partitions, (short) replicas).configs(configs);
        var made = admin.createTopics(List.of(fresh));
        made.all().get();
        return made.numPartitions(name).get() + " partitions, " + made.replicationFactor(name).get()
                + " replicas, retention " + made.config(name).get().get("retention.ms").value();
    }

    private static void topics() throws Exception {
        say("create", () -> create(topic, 3, 3, "retention.ms", "60000", "cleanup.policy", "delete"));
        say("create again", () -> create(topic, 3, 3));
        say("create too many replicas", () -> create(topic + "x", 1, 9));
        say("create no partitions", () -> create(topic + "x", 0, 1));
        say("create bad name", () -> create("a b", 1, 1));
        say("create bad value", () -> create(topic + "x", 1, 1, "retention.ms", "abc"));
        say("create small value", () -> create(topic + "x", 1, 1, "min.insync.replicas", "0"));
        say("create unknown config", () -> create(topic + "x", 1, 1, "nosuch", "1"));
        say("create assigned twice", () -> admin.createTopics(List.of(
                new NewTopic(topic + "x", Map.of(0, List.of(1, 1))))).all().get());
        say("create assigned to strangers", () -> admin.createTopics(List.of(
                new NewTopic(topic + "x", Map.of(0, List.of(1, 77))))).all().get());
        say("grow", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get());
        say("grow to less", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get());
        say("grow to the same", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get());
        say("grow a stranger", () -> admin.createPartitions(Map.of(topic + "x", NewPartitions.increaseTo(4)))
                .values().get(topic + "x").get());
        see("describe", () -> {
            var told = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            StringBuilder text = new StringBuilder(told.authorizedOperations() + "");
            for (var p : told.partitions())
                text.append(" ").append(p.partition()).append(":").append(p.replicas().size()).append("/").append(p.isr().size());
            return text;
        });
        see("describe a stranger", () -> admin.describeTopics(List.of(topic + "x")).allTopicNames().get());
    }

    private static Object produce() throws Exception {
        var serializer = new ByteArraySerializer();
        long last = -1;
        try (var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", clusters[which],
                "acks", "all"), serializer, serializer)) {
            for (int i = 0; i < 10; i++)
                last = producer.send(new ProducerRecord<>(topic, 0, null, new byte[100])).get().offset();
        }
        return last;
    }

    private static void records() throws Exception {
        say("produce", Administer::produce);
        TopicPartition zero = new TopicPartition(topic, 0);
        say("truncate", () -> admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(4)))
                .lowWatermarks().get(zero).get().lowWatermark());
        say("truncate too far", () -> admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(400)))
                .lowWatermarks().get(zero).get().lowWatermark());
        see("start", () -> admin.listOffsets(Map.of(zero, OffsetSpec.earliest())).partitionResult(zero).get().offset());
        see("end", () -> admin.listOffsets(Map.of(zero, OffsetSpec.latest())).partitionResult(zero).get().offset());
        see("log dirs", () -> admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1).values()
                .stream().anyMatch(d -> d.replicaInfos().containsKey(zero)));
    }

    private static String show(ConfigEntry entry) {
        StringBuilder text = new StringBuilder(entry.value() + " " + entry.source() + " " + entry.type()
                + (entry.isReadOnly() ? " read-only" : "") + (entry.isSensitive() ? " secret" : "") + " [");
        for (var synonym : entry.synonyms())
            text.append(synonym.name()).append("=").append(synonym.value()).append(" ").append(synonym.source()).append(" ");
        return text.append("]").toString();
    }

    private static void describe(ConfigResource resource) throws Exception {
        see(resource.type() + " configs", () -> {
            Config config = admin.describeConfigs(List.of(resource), new DescribeConfigsOptions()
                    .includeSynonyms(true).includeDocumentation(true)).all().get().get(resource);
            List<String> lines = new ArrayList<>();
            new TreeMap<>(byName(config)).forEach((name, entry) -> lines.add(name + " " + show(entry)));
            return String.join("\n", lines);
        });
    }

    private static Map<String, ConfigEntry> byName(Config config) {
        Map<String, ConfigEntry> entries = new HashMap<>();
        config.entries().forEach(e -> entries.put(e.name(), e));
        return entries;
    }

    private static Object alter(ConfigResource resource, String key, OpType type, String value) throws Exception {
        var op = new AlterConfigOp(new ConfigEntry(key, value), type);
        return admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
    }

    private static void configs() throws Exception {
        var ours = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var group = new ConfigResource(ConfigResource.Type.GROUP, topic + "g");
        var metrics = new ConfigResource(ConfigResource.Type.CLIENT_METRICS, topic + "m");
        var all = new ConfigResource(ConfigResource.Type.BROKER, "");
        say("set", () -> alter(ours, "max.message.bytes", OpType.SET, "2000000"));
        say("append", () -> alter(ours, "cleanup.policy", OpType.APPEND, "compact"));
        say("append to a number", () -> alter(ours, "retention.ms", OpType.APPEND, "1"));
        say("set nonsense", () -> alter(ours, "message.timestamp.type", OpType.SET, "x"));
        say("set a stranger's", () -> alter(new ConfigResource(ConfigResource.Type.TOPIC, topic + "x"),
                "retention.ms", OpType.SET, "1"));
        say("set of all brokers", () -> alter(all, "log.retention.bytes", OpType.SET, "123456789"));
        say("set what cannot be", () -> alter(all, "num.partitions", OpType.SET, "2"));
        say("set of a group", () -> alter(group, "consumer.session.timeout.ms", OpType.SET, "50000"));
        say("set too little of a group", () -> alter(group, "consumer.session.timeout.ms", OpType.SET, "5"));
        say("set of a subscription", () -> alter(metrics, "interval.ms", OpType.SET, "5000"));
        say("set too little of a subscription", () -> alter(metrics, "interval.ms", OpType.SET, "5"));
        describe(ours);
        describe(group);
        describe(metrics);
        see("of all brokers", () -> byName(admin.describeConfigs(List.of(all)).all().get().get(all))
                .get("log.retention.bytes").value());
        say("put back", () -> alter(ours, "cleanup.policy", OpType.DELETE, null));
        say("put back of all", () -> alter(all, "log.retention.bytes", OpType.DELETE, null));
        see("resources", () -> {
            Set<String> names = new TreeSet<>();
            admin.listConfigResources(Set.of(ConfigResource.Type.GROUP, ConfigResource.Type.CLIENT_METRICS),
                    new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all().get()
                    .forEach(r -> names.add(r.name()));
            names.removeIf(n -> !n.startsWith(topic));
            return names;
        });
    }

    private static Object setQuota(Map<String, String> entity, String key, Double value) throws Exception {
        return admin.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(entity),
                List.of(new ClientQuotaAlteration.Op(key, value))))).all().get();
    }

    private static void quotas() throws Exception {
        Map<String, String> user = Map.of("user", topic);
        say("quota", () -> setQuota(user, "producer_byte_rate", 1000.0));
        say("quota of a share", () -> setQuota(user, "request_percentage", 50.5));
        say("quota of a pair", () -> setQuota(Map.of("user", topic, "client-id", "c"), "consumer_byte_rate", 9.0));
        say("quota unknown", () -> setQuota(user, "nosuch", 1.0));
        say("quota of a fraction", () -> setQuota(user, "producer_byte_rate", 1.5));
        say("quota of nothing", () -> setQuota(user, "producer_byte_rate", 0.0));
        for (boolean strict : new boolean[] {false, true})
            see("quotas " + strict, () -> {
                var filter = List.of(ClientQuotaFilterComponent.ofEntity("user", topic));
                Map<String, Object> told = new TreeMap<>();
                admin.describeClientQuotas(strict ? ClientQuotaFilter.containsOnly(filter)
                        : ClientQuotaFilter.contains(filter)).entities().get()
                        .forEach((k, v) -> told.put(new TreeMap<>(k.entries()).toString(), new TreeMap<>(v)));
                return told;
            });
        say("no quota", () -> setQuota(user, "producer_byte_rate", null));
    }

    private static void users() throws Exception {
        var fine = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096);
        say("user", () -> admin.alterUserScramCredentials(List.of(
                new UserScramCredentialUpsertion(topic, fine, "secret"))).all().get());
        say("user with few iterations", () -> admin.alterUserScramCredentials(List.of(
                new UserScramCredentialUpsertion(topic, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 10),
                        "secret"))).all().get());
        see("users", () -> admin.describeUserScramCredentials(List.of(topic)).description(topic).get()
                .credentialInfos());
        see("nobody", () -> admin.describeUserScramCredentials(List.of(topic + "x")).description(topic + "x").get());
    }

    private static void cluster() throws Exception {
        see("operations", () -> new TreeSet<>(admin.describeCluster(new DescribeClusterOptions()
                .includeAuthorizedOperations(true)).authorizedOperations().get()));
        see("nodes", () -> admin.describeCluster().nodes().get().size());
        see("voters", () -> admin.describeMetadataQuorum().quorumInfo().get().voters().size());
        see("features", () -> {
            var told = new TreeMap<>(admin.describeFeatures().featureMetadata().get().finalizedFeatures());
            told.keySet().removeAll(List.of("share.version", "streams.version"));
            return told;
        });
        see("acls", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
        say("tokens", () -> admin.createDelegationToken().delegationToken().get());
        see("groups", () -> admin.listGroups().all().get().size() >= 0);
    }

    private static AclBinding acl(ResourceType type, String name, PatternType pattern, AclOperation operation) {
        return new AclBinding(new ResourcePattern(type, name, pattern),
                new AccessControlEntry("User:bob", "*", operation, AclPermissionType.ALLOW));
    }

    private static void acls() throws Exception {
        say("create", () -> admin.createAcls(List.of(
                acl(ResourceType.TOPIC, "orders", PatternType.LITERAL, AclOperation.READ),
                acl(ResourceType.TOPIC, "or", PatternType.PREFIXED, AclOperation.WRITE),
                acl(ResourceType.GROUP, "*", PatternType.LITERAL, AclOperation.ALL))).all().get());
        say("create for another cluster", () -> admin.createAcls(List.of(
                acl(ResourceType.CLUSTER, "x", PatternType.LITERAL, AclOperation.ALTER))).all().get());
        for (PatternType pattern : List.of(PatternType.LITERAL, PatternType.PREFIXED, PatternType.MATCH))
            say("describe " + pattern, () -> count(admin.describeAcls(new AclBindingFilter(
                    new ResourcePatternFilter(ResourceType.TOPIC, "orders", pattern),
                    org.apache.kafka.common.acl.AccessControlEntryFilter.ANY)).values().get()));
        say("delete", () -> count(admin.deleteAcls(List.of(new AclBindingFilter(
                new ResourcePatternFilter(ResourceType.TOPIC, null, PatternType.ANY),
                org.apache.kafka.common.acl.AccessControlEntryFilter.ANY))).all().get()));
        say("describe all", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
    }

    private static int count(Collection<?> of) {
        return of.size();
    }
}
