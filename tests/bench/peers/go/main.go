// The worker's journey in Go: franz-go, go-redis, net/http; a goroutine a session. What it guarantees: ../README.md.
//
//	worker BOOTSTRAP REDIS_URL LLM_URL IN_FLIGHT SCRIPTS JOBS_TOPIC REPLIES_TOPIC GROUP
//
// Runs until TERM; then ends what is under way, commits and leaves the group.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	commitEvery = time.Second
	readAhead   = 1000 // records that are taken beyond those that may be under way
	linger      = 5 * time.Millisecond
	gcPercent   = 400 // little is alive: memory for a tenth less CPU
)

type place struct {
	record *kgo.Record
	of     *partition
}

// worker takes records, keeps a session's in their order, publishes replies, commits.
type worker struct {
	kafka        *kgo.Client
	journey      *journey
	repliesTopic string
	slots, taken chan struct{} // counting semaphores
	ahead        int
	running      sync.WaitGroup

	mu         sync.Mutex
	lanes      map[string][]place // of sessions under way: what waits behind
	partitions map[string]map[int32]*partition
}

func (w *worker) take(ctx context.Context) {
	for {
		w.taken <- struct{}{} // room for one at least
		<-w.taken
		fetches := w.kafka.PollRecords(ctx, w.ahead-len(w.taken))
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(topic string, number int32, err error) { log.Printf("%s-%d: %v", topic, number, err) })
		fetches.EachRecord(func(record *kgo.Record) {
			w.taken <- struct{}{}
			w.start(place{record, w.received(record)})
		})
	}
}

func (w *worker) received(record *kgo.Record) *partition {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.partitions[record.Topic]
	if of == nil {
		of = map[int32]*partition{}
		w.partitions[record.Topic] = of
	}
	p := of[record.Partition]
	if p == nil {
		p = newPartition()
		of[record.Partition] = p
	}
	p.received(record.Offset)
	return p
}

func (w *worker) start(first place) {
	w.running.Add(1)
	name := string(first.record.Key) // a session's records have one key
	if name == "" {
		go w.run(first)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if behind, ok := w.lanes[name]; ok {
		w.lanes[name] = append(behind, first)
		return
	}
	w.lanes[name] = nil
	go w.runLane(name, first)
}

func (w *worker) runLane(name string, next place) {
	for {
		w.run(next)
		w.mu.Lock()
		behind := w.lanes[name]
		if len(behind) == 0 {
			delete(w.lanes, name)
			w.mu.Unlock()
			return
		}
		next, w.lanes[name] = behind[0], behind[1:]
		w.mu.Unlock()
	}
}

func (w *worker) run(p place) {
	w.slots <- struct{}{}
	reply, err := w.journey.run(context.Background(), p.record)
	<-w.slots
	if err != nil {
		log.Fatal(err) // the record isn't committed: it comes again
	}
	if reply == nil {
		w.ended(p)
		return
	}
	// Waits for room in the producer's buffer; for the acknowledgement nothing waits but the offset.
	w.kafka.Produce(context.Background(), &kgo.Record{Topic: w.repliesTopic, Key: p.record.Key, Value: reply}, func(_ *kgo.Record, err error) {
		if err != nil {
			log.Fatal(err)
		}
		w.ended(p)
	})
}

func (w *worker) ended(p place) {
	p.of.ended(p.record.Offset, func(next int64) {
		w.kafka.MarkCommitOffsets(map[string]map[int32]kgo.EpochOffset{p.record.Topic: {p.record.Partition: {Epoch: -1, Offset: next}}})
	})
	<-w.taken
	w.running.Done()
}

func (w *worker) revoked(ctx context.Context, client *kgo.Client, gone map[string][]int32) {
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		log.Printf("commit: %v", err)
	}
	w.lost(ctx, client, gone)
}

func (w *worker) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic, numbers := range gone {
		for _, number := range numbers {
			delete(w.partitions[topic], number)
		}
	}
}

// number of the environment; without it, that by which the client fetches by default.
func number(name string, otherwise int) int {
	if value, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return value
	}
	return otherwise
}

func main() {
	if len(os.Args) != 9 {
		log.Fatal("usage: worker BOOTSTRAP REDIS_URL LLM_URL IN_FLIGHT SCRIPTS JOBS_TOPIC REPLIES_TOPIC GROUP")
	}
	bootstrap, redisURL, llmURL, scripts, jobsTopic, repliesTopic, group := os.Args[1], os.Args[2], os.Args[3], os.Args[5], os.Args[6], os.Args[7], os.Args[8]
	inFlight, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	debug.SetGCPercent(gcPercent)
	s, err := newStore(redisURL, scripts, group)
	if err != nil {
		log.Fatal(err)
	}
	w := &worker{journey: newJourney(llmURL, inFlight, s), repliesTopic: repliesTopic, ahead: inFlight + readAhead, slots: make(chan struct{}, inFlight),
		taken: make(chan struct{}, inFlight+readAhead), lanes: map[string][]place{}, partitions: map[string]map[int32]*partition{}}
	w.kafka, err = kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(jobsTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitEvery), kgo.OnPartitionsRevoked(w.revoked), kgo.OnPartitionsLost(w.lost), kgo.ProducerLinger(linger),
		kgo.FetchMinBytes(int32(number("CHAT_BENCH_FETCH_BYTES", 1))), kgo.FetchMaxWait(time.Duration(number("CHAT_BENCH_FETCH_WAIT_MS", 5000))*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	w.take(ctx)
	w.running.Wait()
	if err := w.kafka.CommitMarkedOffsets(context.Background()); err != nil {
		log.Printf("commit: %v", err)
	}
	w.kafka.Close()
	if err := s.close(); err != nil {
		log.Print(err)
	}
}
