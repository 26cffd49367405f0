// franz goes through the course with franz-go: kgo for records and groups, kadm for administration.
//
//	franz BOOTSTRAP PREFIX
package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kafiber/clients/course"
)

var ctx = context.Background()

type client struct {
	seeds kgo.Opt
	kgo   *kgo.Client
	*kadm.Client
}

func main() {
	c := &client{seeds: kgo.SeedBrokers(strings.Split(os.Args[1], ",")...)}
	c.kgo = c.open()
	c.Client = kadm.NewClient(c.kgo)
	course.Run(c, os.Args[2])
	c.kgo.Close()
}

func (c *client) open(options ...kgo.Opt) *kgo.Client {
	opened, err := kgo.NewClient(append(options, c.seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		panic(err)
	}
	return opened
}

// ---- records ------------------------------------------------------------------------------------

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (c *client) Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

func theirs(topic string, records []course.Record) []*kgo.Record {
	converted := []*kgo.Record{}
	for _, r := range records {
		converted = append(converted, &kgo.Record{Topic: topic, Partition: int32(r.Partition), Key: []byte(r.Key),
			Value: []byte(r.Value), Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(r.Header)}}})
	}
	return converted
}

func ours(r *kgo.Record) course.Record {
	return course.Record{Partition: int(r.Partition), Offset: r.Offset, Key: string(r.Key),
		Value: string(r.Value), Header: string(r.Headers[0].Value)}
}

func (c *client) Produce(topic, codec string, records []course.Record) error {
	producer := c.open(kgo.ProducerBatchCompression(codecs[codec]))
	defer producer.Close()
	return producer.ProduceSync(ctx, theirs(topic, records)...).FirstErr()
}

func (c *client) Read(topic string, partitions int, committed bool) ([]course.Record, error) {
	options := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if committed {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	reader := c.open(options...)
	defer reader.Close()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	all := []course.Record{}
	for ends := 0; ends < partitions; {
		fetches := reader.PollFetches(limited)
		if err := fetches.Err(); err != nil {
			return all, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, ours(r))
			if string(r.Value) == "end" {
				ends++
			}
		})
	}
	return all, nil
}

// ---- groups and transactions --------------------------------------------------------------------

func (c *client) Join(group, topic string, events *course.Events) (func() error, error) {
	each := func(f func(int)) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			for _, p := range partitions[topic] {
				f(int(p))
			}
		}
	}
	member := c.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll(),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(each(events.Assigned)), kgo.OnPartitionsRevoked(each(events.Revoked)),
		kgo.OnPartitionsLost(each(events.Revoked)))
	stop, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		var err error
		for stop.Err() == nil && err == nil {
			fetches := member.PollFetches(stop)
			for _, r := range fetches.Records() {
				events.Handled(ours(r))
			}
			if len(fetches.Records()) > 0 {
				err = member.CommitUncommittedOffsets(ctx)
			}
			member.AllowRebalance()
		}
		ended <- err
	}()
	return func() error {
		cancel()
		err := <-ended
		member.CloseAllowingRebalance()
		return err
	}, nil
}

func (c *client) Transact(id, group, in, out string, records []course.Record, commit bool) error {
	session, err := kgo.NewGroupTransactSession(c.seeds, kgo.TransactionalID(id), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(in), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer session.Close()
	if err = session.Begin(); err != nil {
		return err
	}
	for taken := 0; taken < 7; {
		fetches := session.PollFetches(ctx)
		if err = fetches.Err(); err != nil {
			return err
		}
		taken += fetches.NumRecords()
	}
	if err = session.ProduceSync(ctx, theirs(out, records)...).FirstErr(); err != nil {
		return err
	}
	committed, err := session.End(ctx, kgo.TransactionEndTry(commit))
	if err == nil && committed != commit {
		err = errors.New("the transaction ended otherwise")
	}
	return err
}

// ---- administration -----------------------------------------------------------------------------

func (c *client) Create(topic string, partitions, replicas int, config map[string]string) error {
	values := map[string]*string{}
	for key, value := range config {
		values[key] = &value
	}
	_, err := c.CreateTopic(ctx, int32(partitions), int16(replicas), values, topic)
	return err
}

func (c *client) Describe(topic string) (int, int, error) {
	topics, err := c.ListTopics(ctx, topic)
	if err != nil || topics[topic].Err != nil {
		return 0, 0, errors.Join(err, topics[topic].Err)
	}
	return len(topics[topic].Partitions), topics[topic].Partitions.NumReplicas(), nil
}

func (c *client) Topics() ([]string, error) {
	topics, err := c.ListTopics(ctx)
	return topics.Names(), err
}

func (c *client) Config(topic, key string) (string, error) {
	configs, err := c.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", err
	}
	resource, err := configs.On(topic, nil)
	if err != nil || resource.Err != nil {
		return "", errors.Join(err, resource.Err)
	}
	at := slices.IndexFunc(resource.Configs, func(config kadm.Config) bool { return config.Key == key })
	return resource.Configs[at].MaybeValue(), nil
}

func (c *client) Alter(topic, key, value string) error {
	answers, err := c.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err != nil {
		return err
	}
	return answers[0].Err
}

func (c *client) AddPartitions(topic string, count int) error {
	answers, err := c.UpdatePartitions(ctx, count, topic)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (c *client) Offsets(topic string, partition int) (int64, int64, error) {
	starts, err := c.ListStartOffsets(ctx, topic)
	ends, err2 := c.ListEndOffsets(ctx, topic)
	first, _ := starts.Lookup(topic, int32(partition))
	last, _ := ends.Lookup(topic, int32(partition))
	return first.Offset, last.Offset, errors.Join(err, err2, first.Err, last.Err)
}

func (c *client) DeleteRecords(topic string, partition int, before int64) error {
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, int32(partition), before, -1)
	answers, err := c.Client.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (c *client) Delete(topic string) error {
	answer, err := c.DeleteTopic(ctx, topic)
	return errors.Join(err, answer.Err)
}

func (c *client) Groups() ([]string, error) {
	groups, err := c.ListGroups(ctx)
	return groups.Groups(), err
}

func (c *client) DescribeGroup(group string) (string, int, error) {
	groups, err := c.DescribeGroups(ctx, group)
	return groups[group].State, len(groups[group].Members), errors.Join(err, groups[group].Err)
}

func (c *client) Committed(group, topic string, partition int) (int64, error) {
	offsets, err := c.FetchOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	if offset, ok := offsets.Lookup(topic, int32(partition)); ok {
		return offset.At, offset.Err
	}
	return -1, nil
}

func (c *client) DeleteOffset(group, topic string, partition int) error {
	set := kadm.TopicsSet{}
	set.Add(topic, int32(partition))
	answers, err := c.DeleteOffsets(ctx, group, set)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (c *client) DeleteGroup(group string) error {
	answer, err := c.Client.DeleteGroup(ctx, group)
	return errors.Join(err, answer.Err)
}
