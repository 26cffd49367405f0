// Package course is what a Go client goes through: it takes a client behind an interface, gives it
// work, and compares what came out with what had to. The same course stands in course.py,
// kafkajs.mjs and Course.java; tests/integration/test_clients.sh says what its steps are.
package course

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"sync"
	"time"
)

// Record is one record; Header is the value of its only header, "n".
type Record struct {
	Partition          int
	Offset             int64
	Key, Value, Header string
}

// Client is a client as its users know it. Calls return when the brokers have answered.
type Client interface {
	Codecs() []string
	// Produce writes each record to its partition, acknowledged by all replicas.
	Produce(topic, codec string, records []Record) error
	// Read reads every partition from its beginning until the value "end" comes.
	Read(topic string, partitions int, committed bool) ([]Record, error)
	// Join makes a member that handles and commits in the background what it gets.
	Join(group, topic string, events *Events) (leave func() error, err error)

	Create(topic string, partitions, replicas int, config map[string]string) error
	Describe(topic string) (partitions, replicas int, err error)
	Topics() ([]string, error)
	Config(topic, key string) (string, error)
	Alter(topic, key, value string) error
	AddPartitions(topic string, count int) error
	Offsets(topic string, partition int) (first, last int64, err error)
	Delete(topic string) error
	Groups() ([]string, error)
	DescribeGroup(group string) (state string, members int, err error)
	// Committed is -1 where nothing is.
	Committed(group, topic string, partition int) (int64, error)
	DeleteGroup(group string) error
}

// Transactor writes records in a transaction, together with the offset behind the last record of
// in/0 for the group.
type Transactor interface {
	Transact(id, group, in, out string, records []Record, commit bool) error
}

// OffsetTransactor is one whose transactions are of offsets alone.
type OffsetTransactor interface {
	TransactOffset(id, group, topic string, offset int64, commit bool) error
}

// RecordDeleter can move the beginning of a log.
type RecordDeleter interface {
	DeleteRecords(topic string, partition int, before int64) error
}

// OffsetDeleter can make a group forget a partition.
type OffsetDeleter interface {
	DeleteOffset(group, topic string, partition int) error
}

// Events is what a member tells. All members of a group share one Ledger.
type Events struct {
	name   string
	ledger *Ledger
}

// Ledger knows who holds which partition, and what was handled by whom.
type Ledger struct {
	mutex   sync.Mutex
	held    map[int]string
	handled map[string][]Record
	wrong   error
}

func newLedger() *Ledger { return &Ledger{held: map[int]string{}, handled: map[string][]Record{}} }

func (l *Ledger) member(name string) *Events { return &Events{name, l} }

// Assigned says that the member holds this partition from now on.
func (e *Events) Assigned(partition int) {
	e.ledger.mutex.Lock()
	defer e.ledger.mutex.Unlock()
	if by := e.ledger.held[partition]; by != "" && e.ledger.wrong == nil {
		e.ledger.wrong = fmt.Errorf("%s got partition %d, which %s holds", e.name, partition, by)
	}
	e.ledger.held[partition] = e.name
}

// Revoked says that it does no longer.
func (e *Events) Revoked(partition int) {
	e.ledger.mutex.Lock()
	defer e.ledger.mutex.Unlock()
	if e.ledger.held[partition] == e.name {
		delete(e.ledger.held, partition)
	}
}

// Handled says that it has seen a record.
func (e *Events) Handled(r Record) {
	e.ledger.mutex.Lock()
	defer e.ledger.mutex.Unlock()
	e.ledger.handled[e.name] = append(e.ledger.handled[e.name], r)
}

func (l *Ledger) holds(name string) []int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	partitions := []int{}
	for p, by := range l.held {
		if by == name {
			partitions = append(partitions, p)
		}
	}
	sort.Ints(partitions)
	return partitions
}

// records are those handled by the members, sorted, each once.
func (l *Ledger) records(names ...string) []Record {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	all := []Record{}
	for _, name := range names {
		all = append(all, l.handled[name]...)
	}
	return slices.Compact(sorted(all))
}

func (l *Ledger) check() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	must(l.wrong)
}

func sorted(records []Record) []Record {
	records = slices.Clone(records)
	sort.Slice(records, func(i, j int) bool {
		a, b := records[i], records[j]
		return a.Partition < b.Partition || a.Partition == b.Partition && a.Offset < b.Offset
	})
	return records
}

// Some are count records for each partition, in turn, whose offsets begin at first.
func Some(partitions, count int, first int64, what string) []Record {
	records := []Record{}
	for i := 0; i < count; i++ {
		for p := 0; p < partitions; p++ {
			n := fmt.Sprintf("%s-%d-%d", what, p, i)
			records = append(records, Record{p, first + int64(i), "key-" + n, "value-" + n, n})
		}
	}
	return records
}

func ends(partitions int, at int64) []Record {
	records := []Record{}
	for p := 0; p < partitions; p++ {
		records = append(records, Record{p, at, "end", "end", "end"})
	}
	return records
}

// ---- failing ------------------------------------------------------------------------------------

var step = "start"

func must(err error) {
	if err != nil {
		fmt.Printf("FAILED in %s: %v\n", step, err)
		os.Exit(1)
	}
}

func same(what string, wanted, got any) {
	if w, g := fmt.Sprint(wanted), fmt.Sprint(got); w != g {
		must(fmt.Errorf("%s: wanted %s, got %s", what, w, g))
	}
}

// until waits for what brokers do in their own time.
func until(what string, true func() bool) {
	deadline := time.Now().Add(40 * time.Second)
	for !true() {
		if time.Now().After(deadline) {
			must(fmt.Errorf("not within 40 s: %s", what))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func eventually(what string, wanted any, get func() (any, error)) {
	var last any
	var err error
	deadline := time.Now().Add(40 * time.Second)
	for {
		last, err = get()
		if err == nil && fmt.Sprint(last) == fmt.Sprint(wanted) {
			return
		}
		if time.Now().After(deadline) {
			must(fmt.Errorf("%s: wanted %v, got %v, %v", what, wanted, last, err))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ---- the steps ----------------------------------------------------------------------------------

// Run takes the client through all of it. Topics and groups begin with prefix.
func Run(client Client, prefix string) {
	produceAndConsume(client, prefix+"-records")
	group(client, prefix+"-group")
	rebalance(client, prefix+"-rebalance")
	transaction(client, prefix+"-transaction")
	admin(client, prefix+"-admin")
}

func create(client Client, topic string, partitions int) {
	must(client.Create(topic, partitions, 3, nil))
	eventually("partitions of "+topic, partitions, func() (any, error) {
		n, _, err := client.Describe(topic)
		return n, err
	})
}

func produceAndConsume(client Client, topic string) {
	step = "produce"
	create(client, topic, 3)
	wanted := []Record{}
	for i, codec := range client.Codecs() {
		records := Some(3, 20, int64(20*i), codec)
		must(client.Produce(topic, codec, records))
		wanted = append(wanted, records...)
	}
	end := int64(20 * len(client.Codecs()))
	must(client.Produce(topic, "none", ends(3, end)))
	for p := 0; p < 3; p++ {
		_, last, err := client.Offsets(topic, p)
		must(err)
		same("end offset", end+1, last)
	}
	fmt.Println("produce", client.Codecs())
	step = "consume"
	got, err := client.Read(topic, 3, false)
	must(err)
	same("records", sorted(append(wanted, ends(3, end)...)), sorted(got))
	fmt.Println("consume", len(got))
}

func group(client Client, name string) {
	step = "group"
	create(client, name, 3)
	for round := 0; round < 2; round++ {
		wanted := Some(3, 50, int64(50*round), fmt.Sprint("round", round))
		must(client.Produce(name, "none", wanted))
		ledger := newLedger()
		leave, err := client.Join(name, name, ledger.member("a"))
		must(err)
		until("150 records", func() bool { return len(ledger.records("a")) >= 150 })
		must(leave())
		same("records", sorted(wanted), ledger.records("a"))
		for p := 0; p < 3; p++ {
			at, err := client.Committed(name, name, p)
			must(err)
			same("committed", 50*(round+1), at)
		}
	}
	fmt.Println("group 300")
}

func rebalance(client Client, name string) {
	step = "rebalance"
	create(client, name, 6)
	ledger := newLedger()
	leaveA, err := client.Join(name, name, ledger.member("a"))
	must(err)
	eventually("a alone", "[0 1 2 3 4 5]", func() (any, error) { return ledger.holds("a"), nil })
	leaveB, err := client.Join(name, name, ledger.member("b"))
	must(err)
	until("three each", func() bool { return len(ledger.holds("a")) == 3 && len(ledger.holds("b")) == 3 })
	both := Some(6, 10, 0, "both")
	must(client.Produce(name, "none", both))
	until("60 records", func() bool { return len(ledger.records("a", "b")) >= 60 })
	same("records", sorted(both), ledger.records("a", "b"))
	same("records of a and of b", "30 30", fmt.Sprint(len(ledger.records("a")), len(ledger.records("b"))))
	ledger.check()

	must(leaveA())
	eventually("b alone", "[0 1 2 3 4 5]", func() (any, error) { return ledger.holds("b"), nil })
	must(client.Produce(name, "none", Some(6, 10, 10, "alone")))
	until("120 records", func() bool { return len(ledger.records("a", "b")) >= 120 })
	state, members, err := client.DescribeGroup(name)
	must(err)
	same("the group", "Stable 1", fmt.Sprint(state, " ", members))
	must(leaveB())
	same("records", sorted(append(both, Some(6, 10, 10, "alone")...)), ledger.records("a", "b"))
	ledger.check()
	fmt.Println("rebalance 120")
}

func transaction(client Client, name string) {
	step = "transaction"
	create(client, name+"-in", 1)
	must(client.Produce(name+"-in", "none", Some(1, 7, 0, "in")))
	if transactor, ok := client.(OffsetTransactor); ok {
		transactOffsets(client, transactor, name)
		return
	}
	transactor, ok := client.(Transactor)
	if !ok {
		return
	}
	create(client, name, 2)
	aborted, committed := Some(2, 5, 0, "aborted"), Some(2, 5, 6, "committed")
	must(transactor.Transact(name, name, name+"-in", name, aborted, false))
	at, err := client.Committed(name, name+"-in", 0)
	must(err)
	same("committed by an aborted transaction", -1, at)
	must(transactor.Transact(name, name, name+"-in", name, committed, true))
	must(client.Produce(name, "none", ends(2, 12))) // markers are at 5 and 11
	eventually("committed by a transaction", 7, func() (any, error) { return client.Committed(name, name+"-in", 0) })
	got, err := client.Read(name, 2, true)
	must(err)
	same("read committed", sorted(append(committed, ends(2, 12)...)), sorted(got))
	got, err = client.Read(name, 2, false)
	must(err)
	same("read uncommitted", sorted(append(append(aborted, committed...), ends(2, 12)...)), sorted(got))
	fmt.Println("transaction 10 of 20")
}

func transactOffsets(client Client, transactor OffsetTransactor, name string) {
	must(transactor.TransactOffset(name, name, name+"-in", 4, false))
	at, err := client.Committed(name, name+"-in", 0)
	must(err)
	same("committed by an aborted transaction", -1, at)
	must(transactor.TransactOffset(name, name, name+"-in", 7, true))
	eventually("committed by a transaction", 7, func() (any, error) { return client.Committed(name, name+"-in", 0) })
	fmt.Println("transaction of offsets")
}

func admin(client Client, topic string) {
	step = "admin"
	must(client.Create(topic, 4, 3, map[string]string{"retention.ms": "600000"}))
	eventually("partitions and replicas", "4 3", func() (any, error) {
		partitions, replicas, err := client.Describe(topic)
		return fmt.Sprint(partitions, replicas), err
	})
	eventually("listed", true, func() (any, error) {
		topics, err := client.Topics()
		return slices.Contains(topics, topic), err
	})
	eventually("config", "600000", func() (any, error) { return client.Config(topic, "retention.ms") })
	must(client.Alter(topic, "retention.ms", "700000"))
	eventually("config", "700000", func() (any, error) { return client.Config(topic, "retention.ms") })
	must(client.AddPartitions(topic, 6))
	eventually("partitions", 6, func() (any, error) {
		partitions, _, err := client.Describe(topic)
		return partitions, err
	})
	done := "topics configs partitions"

	must(client.Produce(topic, "none", Some(1, 10, 0, "admin")))
	first, last, err := client.Offsets(topic, 0)
	must(err)
	same("offsets", "0 10", fmt.Sprint(first, last))
	if deleter, ok := client.(RecordDeleter); ok {
		must(deleter.DeleteRecords(topic, 0, 4))
		eventually("offsets", "4 10", func() (any, error) {
			first, last, err := client.Offsets(topic, 0)
			return fmt.Sprint(first, last), err
		})
		done += " records"
	}
	done += groups(client, topic)
	must(client.Delete(topic))
	eventually("listed", false, func() (any, error) {
		topics, err := client.Topics()
		return slices.Contains(topics, topic), err
	})
	fmt.Println("admin", done)
}

func groups(client Client, name string) string {
	done := " groups"
	first, last, err := client.Offsets(name, 0)
	must(err)
	ledger := newLedger()
	leave, err := client.Join(name, name, ledger.member("a"))
	must(err)
	until("all records", func() bool { return len(ledger.records("a")) >= int(last-first) })
	must(leave())
	listed, err := client.Groups()
	must(err)
	same("groups", true, slices.Contains(listed, name))
	eventually("the group", "Empty 0", func() (any, error) {
		state, members, err := client.DescribeGroup(name)
		return fmt.Sprint(state, " ", members), err
	})
	at, err := client.Committed(name, name, 0)
	must(err)
	same("committed", 10, at)
	if deleter, ok := client.(OffsetDeleter); ok {
		must(deleter.DeleteOffset(name, name, 0))
		at, err = client.Committed(name, name, 0)
		must(err)
		same("committed", -1, at)
		done += " offsets"
	}
	must(client.DeleteGroup(name))
	eventually("groups", false, func() (any, error) {
		listed, err := client.Groups()
		return slices.Contains(listed, name), err
	})
	return done
}
