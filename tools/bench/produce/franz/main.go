// The same work by franz-go.
//
//	produce --bootstrap HOST:PORT --topic T --partitions P --records N --size B --batch-bytes B
//	        --linger-ms MS --codec NAME
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	values    = 1024
	lookEvery = 1024
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "produce:", err)
		os.Exit(1)
	}
}

func text(name, fallback string) string {
	for i := 1; i+1 < len(os.Args); i++ {
		if os.Args[i] == name {
			return os.Args[i+1]
		}
	}
	return fallback
}

func number(name string, fallback int) int {
	n, err := strconv.Atoi(text(name, strconv.Itoa(fallback)))
	check(err)
	return n
}

func cpu() int64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return used.Utime.Nano() + used.Stime.Nano()
}

func make1024(size int) [][]byte {
	all := make([][]byte, values)
	for i := range all {
		all[i] = make([]byte, size)
		for at := range all[i] {
			if at < 8 {
				all[i][at] = byte(i>>at%10 + '0')
			} else {
				all[i][at] = byte((i*31+at*7+i*at%11)%26 + 'a')
			}
		}
	}
	return all
}

func main() {
	records, partitions := int64(number("--records", 5000000)), number("--partitions", 1)
	size, topic := number("--size", 100), text("--topic", "events")
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(text("--bootstrap", "127.0.0.1:24100")),
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[text("--codec", "none")]),
		kgo.ProducerBatchMaxBytes(int32(number("--batch-bytes", 1000000))),
		kgo.ProducerLinger(time.Duration(number("--linger-ms", 5))*time.Millisecond),
		kgo.MaxBufferedRecords(1000000), kgo.MaxBufferedBytes(33554432))
	check(err)
	var acknowledged atomic.Int64
	count := func(_ *kgo.Record, err error) { check(err); acknowledged.Add(1) }
	all := make1024(size)
	var fromRecords, fromCpu int64
	var fromTime time.Time
	for i := int64(0); i < records; i++ {
		client.Produce(context.Background(), &kgo.Record{Partition: int32(i % int64(partitions)), Value: all[i%values]}, count)
		if i%lookEvery == 0 && fromTime.IsZero() && acknowledged.Load() >= records/10 {
			fromRecords, fromCpu, fromTime = acknowledged.Load(), cpu(), time.Now()
		}
	}
	check(client.Flush(context.Background()))
	if acknowledged.Load() != records {
		check(fmt.Errorf("not all was acknowledged"))
	}
	rest := float64(records - fromRecords)
	fmt.Printf("franz-go records=%d bytes=%d cpu_ns=%.2f krecords_s=%.0f\n", records, records*int64(size),
		float64(cpu()-fromCpu)/rest, rest/time.Since(fromTime).Seconds()/1e3)
}
