// As tests/integration/interop.c, by franz-go:
//
//	interop [FLAG]... write BOOTSTRAP CODEC=TOPIC... < lines
//	interop [FLAG]... read BOOTSTRAP TOPIC...
//
// Flags say how the connection is protected (-ca, -cert, -sasl, -user, -password, -token), and by
// -group that the topic is read as a member of a group.
//
// A line is "TIMESTAMP KEY VALUE HEADERS"; bytes are base64, "-" is null and "=" is empty; headers
// are NAME:VALUE,NAME:VALUE, or "none".
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

var (
	authority = flag.String("ca", "", "TLS, with the authority of this PEM file")
	identity  = flag.String("cert", "", "PEM file of a client's key and certificate")
	mechanism = flag.String("sasl", "", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
	user      = flag.String("user", "", "")
	password  = flag.String("password", "", "")
	token     = flag.String("token", "", "of OAUTHBEARER")
	group     = flag.String("group", "", "")
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func bytes(text string) []byte {
	switch text {
	case "-":
		return nil
	case "=":
		return []byte{}
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	check(err)
	return decoded
}

func text(bytes []byte) string {
	if bytes == nil {
		return "-"
	}
	if len(bytes) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(bytes)
}

func record(topic, line string) *kgo.Record {
	words := strings.Fields(line)
	millis, err := strconv.ParseInt(words[0], 10, 64)
	check(err)
	r := &kgo.Record{Topic: topic, Key: bytes(words[1]), Value: bytes(words[2]), Timestamp: time.UnixMilli(millis)}
	if words[3] != "none" {
		for _, header := range strings.Split(words[3], ",") {
			name, value, _ := strings.Cut(header, ":")
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(bytes(name)), Value: bytes(value)})
		}
	}
	return r
}

func secured() *tls.Config {
	pem, err := os.ReadFile(*authority)
	check(err)
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	if *identity != "" {
		pair, err := tls.LoadX509KeyPair(*identity, *identity)
		check(err)
		config.Certificates = append(config.Certificates, pair)
	}
	return config
}

func authentication() sasl.Mechanism {
	switch *mechanism {
	case "PLAIN":
		return plain.Auth{User: *user, Pass: *password}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: *user, Pass: *password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: *user, Pass: *password}.AsSha512Mechanism()
	default:
		return oauth.Auth{Token: *token}.AsMechanism()
	}
}

func open(bootstrap string, more ...kgo.Opt) *kgo.Client {
	options := append(more, kgo.SeedBrokers(strings.Split(bootstrap, ",")...))
	if *authority != "" {
		options = append(options, kgo.DialTLSConfig(secured()))
	}
	if *mechanism != "" {
		options = append(options, kgo.SASL(authentication()))
	}
	client, err := kgo.NewClient(options...)
	check(err)
	return client
}

func write(bootstrap, codec, topic string, lines []string) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	client := open(bootstrap, kgo.ProducerBatchCompression(codecs[codec]), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	for _, line := range lines {
		client.Produce(context.Background(), record(topic, line), func(_ *kgo.Record, err error) { check(err) })
	}
	check(client.Flush(context.Background()))
}

func end(client *kgo.Client, topic string) int64 {
	request := kmsg.NewListOffsetsRequest()
	request.Topics = append(request.Topics, kmsg.ListOffsetsRequestTopic{Topic: topic,
		Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: -1}}})
	response, err := request.RequestWith(context.Background(), client)
	check(err)
	return response.Topics[0].Partitions[0].Offset
}

func read(bootstrap, topic string) {
	from := []kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}})}
	if *group != "" {
		from = []kgo.Opt{kgo.ConsumerGroup(*group), kgo.ConsumeTopics(topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	}
	client := open(bootstrap, from...)
	defer client.Close()
	for next, last := int64(0), end(client, topic); next < last; {
		fetches := client.PollFetches(context.Background())
		check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			headers := []string{}
			for _, header := range r.Headers {
				headers = append(headers, text([]byte(header.Key))+":"+text(header.Value))
			}
			if len(headers) == 0 {
				headers = []string{"none"}
			}
			fmt.Println(topic, r.Timestamp.UnixMilli(), text(r.Key), text(r.Value), strings.Join(headers, ","))
			next = r.Offset + 1
		})
	}
}

func main() {
	flag.Parse()
	verb, bootstrap := flag.Arg(0), flag.Arg(1)
	lines := []string{}
	if verb == "write" {
		input := bufio.NewScanner(os.Stdin)
		input.Buffer(nil, 1<<20)
		for input.Scan() {
			lines = append(lines, input.Text())
		}
	}
	for _, target := range flag.Args()[2:] {
		if codec, topic, ok := strings.Cut(target, "="); verb == "write" && ok {
			write(bootstrap, codec, topic, lines)
		} else {
			read(bootstrap, target)
		}
	}
}
