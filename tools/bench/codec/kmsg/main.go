// The same files as bench_codec, by franz-go's kmsg: prints "who what nanoseconds".
package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const leastNs = 200000000 // of one measurement, in CPU time

func cpuNow() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func timeOf(step func()) float64 {
	rounds, begin := int64(0), cpuNow()
	for {
		for i := 0; i < 10; i++ {
			step()
		}
		rounds += 10
		if took := cpuNow() - begin; took >= leastNs {
			return float64(took) / float64(rounds)
		}
	}
}

func main() {
	kinds := []struct {
		name string
		make func() kmsg.Response
	}{
		{"fetch", func() kmsg.Response { return &kmsg.FetchResponse{Version: 18} }},
		{"metadata", func() kmsg.Response { return &kmsg.MetadataResponse{Version: 13} }},
		{"join", func() kmsg.Response { return &kmsg.JoinGroupResponse{Version: 9} }},
	}
	for _, kind := range kinds {
		want, err := os.ReadFile(os.Args[1] + "/" + kind.name + ".bin")
		if err != nil {
			panic(err)
		}
		message := kind.make()
		decode := func() {
			message = kind.make() // ReadFrom is for a new one
			if err := message.ReadFrom(want); err != nil {
				panic(err)
			}
		}
		var out []byte
		encode := func() { out = message.AppendTo(out[:0]) }
		decode()
		encode()
		if !bytes.Equal(out, want) {
			panic(kind.name + ": other bytes")
		}
		timeOf(decode) // warm
		fmt.Printf("kmsg %s-decode %.0f\n", kind.name, timeOf(decode))
		fmt.Printf("kmsg %s-encode %.0f\n", kind.name, timeOf(encode))
	}
}
