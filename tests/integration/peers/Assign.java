/*
 * Assign: what Kafka's own client-side assignors decide, as an oracle for ours.
 *
 *     one case a line (JSON) ──▶ RangeAssignor, StickyAssignor, … ──▶ one answer a line (JSON)
 *
 * In:  {"assignor":"range|roundrobin|sticky|cooperative-sticky",
 *       "topics":[{"name":"t","partitions":3,"racks":[["r1","r2"],["r2"],[]]}],
 *       "members":[{"id":"m1","instance":null,"rack":"r1","topics":["t"],
 *                   "owned":[["t",0]],"generation":3,"userdata":null}]}
 * Out: {"m1":[["t",0],["t",1]],"m2":[…]}, a member's partitions in the order the assignor gave them;
 *      with "show":"userdata" in the case, {"m1":"00ff…","m2":null}: the subscription's user data.
 *      {"#error":"…"} when the assignor throws; the program goes on with the next line.
 *
 * A member's user data is what the assignor itself would send after it was assigned `owned` in
 * `generation`, unless the case gives the bytes in `userdata`. Every key but id and topics of a
 * member, and racks of a topic, may be absent.
 */
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

public class Assign {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        String line;
        while ((line = in.readLine()) != null) {
            if (line.isBlank())
                continue;
            System.out.println(answer(line));
        }
    }

    private static JsonNode answer(String line) {
        try {
            JsonNode question = JSON.readTree(line);
            Map<String, Subscription> members = members(question);
            if (question.path("show").asText().equals("userdata"))
                return userData(members);
            Cluster cluster = cluster(question.get("topics"));
            return assignment(assignor(question).assign(cluster, new GroupSubscription(members)));
        } catch (Exception e) {
            return JSON.createObjectNode().put("#error", e.toString());
        }
    }

    /* Assignors keep state between generations: each case, and each member, has its own. */
    private static ConsumerPartitionAssignor assignor(JsonNode question) {
        String name = question.get("assignor").asText();
        switch (name) {
        case "range": return new RangeAssignor();
        case "roundrobin": return new RoundRobinAssignor();
        case "sticky": return new StickyAssignor();
        case "cooperative-sticky": return new CooperativeStickyAssignor();
        default: throw new IllegalArgumentException("no assignor " + name);
        }
    }

    /* A rack is a node, as the assignor looks at nothing of a node but its rack. */
    private static Cluster cluster(JsonNode topics) {
        Map<String, Node> nodes = new TreeMap<>();
        List<PartitionInfo> partitions = new ArrayList<>();
        for (JsonNode topic : topics) {
            for (int i = 0; i < topic.get("partitions").asInt(); i++) {
                List<Node> replicas = new ArrayList<>();
                for (JsonNode rack : topic.path("racks").path(i))
                    replicas.add(node(nodes, rack.isNull() ? null : rack.asText()));
                if (replicas.isEmpty())
                    replicas.add(node(nodes, null));
                Node[] all = replicas.toArray(new Node[0]);
                partitions.add(new PartitionInfo(topic.get("name").asText(), i, all[0], all, all));
            }
        }
        return new Cluster("oracle", nodes.values(), partitions, Set.of(), Set.of());
    }

    private static Node node(Map<String, Node> nodes, String rack) {
        String key = rack == null ? "" : rack;
        return nodes.computeIfAbsent(key, k -> new Node(nodes.size() + 1, "h" + k, 9092, rack));
    }

    /* A HashMap, because the coordinator of the Java client hands one over. */
    private static Map<String, Subscription> members(JsonNode question) {
        Map<String, Subscription> members = new HashMap<>();
        for (JsonNode member : question.get("members"))
            members.put(member.get("id").asText(), subscription(assignor(question), member));
        return members;
    }

    @SuppressWarnings("removal") /* the four-argument metadata constructor is the only one */
    private static Subscription subscription(ConsumerPartitionAssignor assignor, JsonNode member) {
        List<String> topics = new ArrayList<>();
        member.get("topics").forEach(topic -> topics.add(topic.asText()));
        List<TopicPartition> owned = new ArrayList<>();
        for (JsonNode pair : member.path("owned"))
            owned.add(new TopicPartition(pair.get(0).asText(), pair.get(1).asInt()));
        int generation = member.path("generation").asInt(-1);
        Optional<String> instance = text(member.path("instance"));

        ByteBuffer data;
        Optional<String> given = text(member.path("userdata"));
        if (given.isPresent()) {
            data = ByteBuffer.wrap(HEX.parseHex(given.get()));
        } else {
            if (!owned.isEmpty() || generation >= 0)
                assignor.onAssignment(new Assignment(owned),
                    new ConsumerGroupMetadata("g", generation, member.get("id").asText(), instance));
            data = assignor.subscriptionUserData(new HashSet<>(topics));
        }
        Subscription subscription =
            new Subscription(topics, data, owned, generation, text(member.path("rack")));
        subscription.setGroupInstanceId(instance);
        return subscription;
    }

    private static Optional<String> text(JsonNode node) {
        return node.isTextual() ? Optional.of(node.asText()) : Optional.empty();
    }

    private static JsonNode userData(Map<String, Subscription> members) {
        ObjectNode answer = JSON.createObjectNode();
        new TreeMap<>(members).forEach((id, subscription) -> {
            ByteBuffer data = subscription.userData();
            if (data == null) {
                answer.putNull(id);
                return;
            }
            byte[] bytes = new byte[data.remaining()];
            data.duplicate().get(bytes);
            answer.put(id, HEX.formatHex(bytes));
        });
        return answer;
    }

    private static JsonNode assignment(ConsumerPartitionAssignor.GroupAssignment group) {
        ObjectNode answer = JSON.createObjectNode();
        new TreeMap<>(group.groupAssignment()).forEach((id, assignment) -> {
            ArrayNode partitions = answer.putArray(id);
            for (TopicPartition partition : assignment.partitions())
                partitions.addArray().add(partition.topic()).add(partition.partition());
        });
        return answer;
    }
}
