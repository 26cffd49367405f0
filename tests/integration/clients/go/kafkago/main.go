// kafkago goes through the course with Segment's kafka-go. It has no transactions of records, but
// the calls for transactions of offsets.
//
//	kafkago BOOTSTRAP PREFIX
package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"kafiber/clients/course"
)

var ctx = context.Background()

type client struct {
	seeds []string
	*kafka.Client
}

func main() {
	c := &client{seeds: strings.Split(os.Args[1], ",")}
	c.Client = &kafka.Client{Addr: kafka.TCP(c.seeds...), Timeout: 30 * time.Second,
		Transport: &kafka.Transport{MetadataTTL: 100 * time.Millisecond}}
	course.Run(c, os.Args[2])
}

// ---- records ------------------------------------------------------------------------------------

var codecs = map[string]kafka.Compression{
	"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

func (c *client) Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

// A Writer asks a balancer for the partition; ours knows it from the key that a course's record has.
func (c *client) Produce(topic, codec string, records []course.Record) error {
	partitions := map[string]int{}
	messages := []kafka.Message{}
	for _, r := range records {
		messages = append(messages, kafka.Message{Key: []byte(r.Key), Value: []byte(r.Value), WriterData: r.Partition,
			Headers: []kafka.Header{{Key: "n", Value: []byte(r.Header)}}})
		partitions[r.Key] = r.Partition
	}
	writer := &kafka.Writer{Addr: kafka.TCP(c.seeds...), Topic: topic, Compression: codecs[codec],
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond, Transport: c.Transport,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return m.WriterData.(int) })}
	return errors.Join(writer.WriteMessages(ctx, messages...), writer.Close())
}

func ours(m kafka.Message) course.Record {
	return course.Record{Partition: m.Partition, Offset: m.Offset, Key: string(m.Key),
		Value: string(m.Value), Header: string(m.Headers[0].Value)}
}

func (c *client) Read(topic string, partitions int, committed bool) ([]course.Record, error) {
	all := []course.Record{}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for p := 0; p < partitions; p++ {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: c.seeds, Topic: topic, Partition: p,
			MaxWait: 100 * time.Millisecond})
		for {
			message, err := reader.ReadMessage(limited)
			if err != nil {
				return all, err
			}
			all = append(all, ours(message))
			if string(message.Value) == "end" {
				break
			}
		}
		reader.Close()
	}
	return all, nil
}

// ---- groups and transactions --------------------------------------------------------------------

// A generation lasts from one rebalance to the next; its functions end with it.
func (c *client) Join(group, topic string, events *course.Events) (func() error, error) {
	joined, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: c.seeds,
		Topics: []string{topic}, HeartbeatInterval: 500 * time.Millisecond, StartOffset: kafka.FirstOffset})
	if err != nil {
		return nil, err
	}
	ended := make(chan error)
	go func() {
		for {
			generation, err := joined.Next(ctx)
			if errors.Is(err, kafka.ErrGroupClosed) {
				ended <- nil
				return
			}
			if err != nil {
				continue // Next tries again
			}
			for _, assigned := range generation.Assignments[topic] {
				events.Assigned(assigned.ID)
				generation.Start(func(lasting context.Context) {
					c.consume(lasting, generation, topic, assigned, events)
					events.Revoked(assigned.ID)
				})
			}
		}
	}()
	return func() error { return errors.Join(joined.Close(), <-ended) }, nil
}

func (c *client) consume(lasting context.Context, generation *kafka.Generation, topic string,
	assigned kafka.PartitionAssignment, events *course.Events) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: c.seeds, Topic: topic, Partition: assigned.ID,
		MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	if reader.SetOffset(assigned.Offset) != nil {
		return
	}
	for {
		message, err := reader.ReadMessage(lasting)
		if err != nil {
			return
		}
		events.Handled(ours(message))
		generation.CommitOffsets(map[string]map[int]int64{topic: {assigned.ID: message.Offset + 1}})
	}
}

func (c *client) TransactOffset(id, group, topic string, offset int64, commit bool) error {
	started, err := c.begin(id)
	if err != nil {
		return err
	}
	producer, epoch := started.Producer.ProducerID, started.Producer.ProducerEpoch
	added, err := c.AddOffsetsToTxn(ctx, &kafka.AddOffsetsToTxnRequest{TransactionalID: id, ProducerID: producer,
		ProducerEpoch: epoch, GroupID: group})
	if err != nil || added.Error != nil {
		return errors.Join(err, added.Error)
	}
	sent, err := c.TxnOffsetCommit(ctx, &kafka.TxnOffsetCommitRequest{TransactionalID: id, GroupID: group,
		ProducerID: producer, ProducerEpoch: epoch, GenerationID: -1,
		Topics: map[string][]kafka.TxnOffsetCommit{topic: {{Partition: 0, Offset: offset}}}})
	if err != nil || sent.Topics[topic][0].Error != nil {
		return errors.Join(err, sent.Topics[topic][0].Error)
	}
	ended, err := c.EndTxn(ctx, &kafka.EndTxnRequest{TransactionalID: id, ProducerID: producer,
		ProducerEpoch: epoch, Committed: commit})
	if err != nil {
		return err
	}
	return ended.Error
}

// The markers of the last transaction may still be on their way.
func (c *client) begin(id string) (*kafka.InitProducerIDResponse, error) {
	for tries := 0; ; tries++ {
		answer, err := c.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: id,
			TransactionTimeoutMs: 30000, ProducerID: -1, ProducerEpoch: -1})
		if err != nil {
			return nil, err
		}
		if !errors.Is(answer.Error, kafka.ConcurrentTransactions) || tries == 1000 {
			return answer, answer.Error
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ---- administration -----------------------------------------------------------------------------

func (c *client) Create(topic string, partitions, replicas int, config map[string]string) error {
	entries := []kafka.ConfigEntry{}
	for key, value := range config {
		entries = append(entries, kafka.ConfigEntry{ConfigName: key, ConfigValue: value})
	}
	answer, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic,
		NumPartitions: partitions, ReplicationFactor: replicas, ConfigEntries: entries}}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (c *client) Describe(topic string) (int, int, error) {
	answer, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, 0, err
	}
	described := answer.Topics[0]
	if described.Error != nil || len(described.Partitions) == 0 {
		return 0, 0, described.Error
	}
	return len(described.Partitions), len(described.Partitions[0].Replicas), nil
}

func (c *client) Topics() ([]string, error) {
	answer, err := c.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, topic := range answer.Topics {
		names = append(names, topic.Name)
	}
	return names, nil
}

func (c *client) Config(topic, key string) (string, error) {
	answer, err := c.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{key}}}})
	if err != nil || answer.Resources[0].Error != nil {
		return "", errors.Join(err, answer.Resources[0].Error)
	}
	return answer.Resources[0].ConfigEntries[0].ConfigValue, nil
}

func (c *client) Alter(topic, key, value string) error {
	answer, err := c.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic,
			ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{
				{Name: key, Value: value, ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (c *client) AddPartitions(topic string, count int) error {
	answer, err := c.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(count)}}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (c *client) Offsets(topic string, partition int) (int64, int64, error) {
	answer, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)}}})
	if err != nil {
		return 0, 0, err
	}
	offsets := answer.Topics[topic][0]
	return offsets.FirstOffset, offsets.LastOffset, offsets.Error
}

func (c *client) Delete(topic string) error {
	answer, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (c *client) Groups() ([]string, error) {
	answer, err := c.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil || answer.Error != nil {
		return nil, errors.Join(err, answer.Error)
	}
	names := []string{}
	for _, group := range answer.Groups {
		names = append(names, group.GroupID)
	}
	return names, nil
}

func (c *client) DescribeGroup(group string) (string, int, error) {
	answer, err := c.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return "", 0, err
	}
	described := answer.Groups[0]
	return described.GroupState, len(described.Members), described.Error
}

func (c *client) Committed(group, topic string, partition int) (int64, error) {
	answer, err := c.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group,
		Topics: map[string][]int{topic: {partition}}})
	if err != nil || answer.Error != nil {
		return 0, errors.Join(err, answer.Error)
	}
	offset := answer.Topics[topic][0]
	return offset.CommittedOffset, offset.Error
}

func (c *client) DeleteOffset(group, topic string, partition int) error {
	answer, err := c.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group,
		Topics: map[string][]int{topic: {partition}}})
	if err != nil || answer.Error != nil {
		return errors.Join(err, answer.Error)
	}
	return answer.Topics[topic][0].Error
}

func (c *client) DeleteGroup(group string) error {
	answer, err := c.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return answer.Errors[group]
}
