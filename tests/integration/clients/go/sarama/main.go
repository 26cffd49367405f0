// sarama goes through the course with IBM's sarama.
//
//	sarama BOOTSTRAP PREFIX
package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"kafiber/clients/course"
)

type client struct {
	seeds []string
	sarama.ClusterAdmin
}

func main() {
	c := &client{seeds: strings.Split(os.Args[1], ",")}
	var err error
	if c.ClusterAdmin, err = sarama.NewClusterAdmin(c.seeds, config()); err != nil {
		panic(err)
	}
	course.Run(c, os.Args[2])
	c.Close()
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	// What it commits waits behind its fetches where one broker answers both.
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	return config
}

// ---- records ------------------------------------------------------------------------------------

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func (c *client) Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

func theirs(topic string, records []course.Record) []*sarama.ProducerMessage {
	converted := []*sarama.ProducerMessage{}
	for _, r := range records {
		converted = append(converted, &sarama.ProducerMessage{Topic: topic, Partition: int32(r.Partition),
			Key: sarama.StringEncoder(r.Key), Value: sarama.StringEncoder(r.Value),
			Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: []byte(r.Header)}}})
	}
	return converted
}

func ours(m *sarama.ConsumerMessage) course.Record {
	return course.Record{Partition: int(m.Partition), Offset: m.Offset, Key: string(m.Key),
		Value: string(m.Value), Header: string(m.Headers[0].Value)}
}

func (c *client) Produce(topic, codec string, records []course.Record) error {
	config := config()
	config.Producer.Compression = codecs[codec]
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewSyncProducer(c.seeds, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	return producer.SendMessages(theirs(topic, records))
}

func (c *client) Read(topic string, partitions int, committed bool) ([]course.Record, error) {
	config := config()
	if committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer(c.seeds, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	all := []course.Record{}
	for p := 0; p < partitions; p++ {
		partition, err := consumer.ConsumePartition(topic, int32(p), sarama.OffsetOldest)
		if err != nil {
			return all, err
		}
		for late := time.After(30 * time.Second); ; {
			select {
			case message := <-partition.Messages():
				all = append(all, ours(message))
			case <-late:
				return all, errors.New("no end within 30 s")
			}
			if all[len(all)-1].Value == "end" {
				break
			}
		}
		partition.Close()
	}
	return all, nil
}

// ---- groups and transactions --------------------------------------------------------------------

type member struct {
	topic  string
	events *course.Events
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	for _, p := range session.Claims()[m.topic] {
		m.events.Assigned(int(p))
	}
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	for _, p := range session.Claims()[m.topic] {
		m.events.Revoked(int(p))
	}
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			m.events.Handled(ours(message))
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func (c *client) Join(group, topic string, events *course.Events) (func() error, error) {
	joined, err := sarama.NewConsumerGroup(c.seeds, group, config())
	if err != nil {
		return nil, err
	}
	stop, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		var err error
		for stop.Err() == nil && err == nil {
			err = joined.Consume(stop, []string{topic}, &member{topic, events})
		}
		ended <- err
	}()
	return func() error {
		cancel()
		return errors.Join(<-ended, joined.Close())
	}, nil
}

func (c *client) Transact(id, group, in, out string, records []course.Record, commit bool) error {
	config := config()
	config.Producer.Idempotent = true
	config.Producer.Transaction.ID = id
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewSyncProducer(c.seeds, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	offsets := map[string][]*sarama.PartitionOffsetMetadata{in: {{Partition: 0, Offset: 7}}}
	if err = producer.BeginTxn(); err != nil {
		return err
	}
	if err = producer.SendMessages(theirs(out, records)); err != nil {
		return err
	}
	if err = producer.AddOffsetsToTxn(offsets, group); err != nil {
		return err
	}
	if commit {
		return producer.CommitTxn()
	}
	return producer.AbortTxn()
}

// ---- administration -----------------------------------------------------------------------------

func (c *client) Create(topic string, partitions, replicas int, config map[string]string) error {
	values := map[string]*string{}
	for key, value := range config {
		values[key] = &value
	}
	return c.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions),
		ReplicationFactor: int16(replicas), ConfigEntries: values}, false)
}

func (c *client) Describe(topic string) (int, int, error) {
	topics, err := c.DescribeTopics([]string{topic})
	if err != nil {
		return 0, 0, err
	}
	if topics[0].Err != sarama.ErrNoError {
		return 0, 0, topics[0].Err
	}
	return len(topics[0].Partitions), len(topics[0].Partitions[0].Replicas), nil
}

func (c *client) Topics() ([]string, error) {
	topics, err := c.ListTopics()
	names := []string{}
	for name := range topics {
		names = append(names, name)
	}
	return names, err
}

func (c *client) Config(topic, key string) (string, error) {
	entries, err := c.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic,
		ConfigNames: []string{key}})
	if err != nil {
		return "", err
	}
	return entries[0].Value, nil
}

func (c *client) Alter(topic, key, value string) error {
	return c.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		key: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false)
}

func (c *client) AddPartitions(topic string, count int) error {
	return c.CreatePartitions(topic, int32(count), nil, false)
}

func (c *client) Offsets(topic string, partition int) (int64, int64, error) {
	client, err := sarama.NewClient(c.seeds, config())
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	first, err := client.GetOffset(topic, int32(partition), sarama.OffsetOldest)
	last, err2 := client.GetOffset(topic, int32(partition), sarama.OffsetNewest)
	return first, last, errors.Join(err, err2)
}

func (c *client) DeleteRecords(topic string, partition int, before int64) error {
	return c.ClusterAdmin.DeleteRecords(topic, map[int32]int64{int32(partition): before})
}

func (c *client) Delete(topic string) error { return c.DeleteTopic(topic) }

func (c *client) Groups() ([]string, error) {
	groups, err := c.ListConsumerGroups()
	names := []string{}
	for name := range groups {
		names = append(names, name)
	}
	return names, err
}

func (c *client) DescribeGroup(group string) (string, int, error) {
	groups, err := c.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", 0, err
	}
	if groups[0].Err != sarama.ErrNoError {
		return "", 0, groups[0].Err
	}
	return groups[0].State, len(groups[0].Members), nil
}

func (c *client) Committed(group, topic string, partition int) (int64, error) {
	answer, err := c.ListConsumerGroupOffsets(group, map[string][]int32{topic: {int32(partition)}})
	if err != nil {
		return 0, err
	}
	block := answer.GetBlock(topic, int32(partition))
	if block.Err != sarama.ErrNoError {
		return 0, block.Err
	}
	return block.Offset, nil
}

func (c *client) DeleteOffset(group, topic string, partition int) error {
	return c.DeleteConsumerGroupOffset(group, topic, int32(partition))
}

func (c *client) DeleteGroup(group string) error { return c.DeleteConsumerGroup(group) }
