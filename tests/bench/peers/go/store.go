package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	leaseMs, keepMs             = 600_000, 86_400_000
	replyTTLs, sessionTTLs      = 86_400, 604_800
	turnsMax, historyBytesMax   = 20, 262_144
	appliedMax, crashesMax      = 1000, 1
	redisBackoff                = 500 * time.Millisecond
	fingerprintBytes, tokenSize = 16, 16
)

// store has claims and histories in Redis, by the worker's own scripts (worker/redis/scripts). Its calls repeat until Redis answers; the scripts
// allow that under one token. Any goroutine.
type store struct {
	client        *redis.Client
	pipeline      *redis.AutoPipeliner // concurrent calls go as one pipeline
	prefix        string
	incarnation   string
	startedMs     int64
	begin, finish *redis.Script
}

type claim struct {
	token, job, fingerprint, origin string
	keys                            []string
	epoch                           int64
}

func newStore(url, scripts, prefix string) (*store, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(options)
	pipeline, err := client.AutoPipeline()
	if err != nil {
		return nil, err
	}
	s := &store{client: client, pipeline: pipeline, prefix: prefix, incarnation: randomHex(), startedMs: time.Now().UnixMilli()}
	for name, script := range map[string]**redis.Script{"begin": &s.begin, "finish": &s.finish} {
		text, err := os.ReadFile(filepath.Join(scripts, name+".lua"))
		if err != nil {
			return nil, err
		}
		*script = redis.NewScript(string(text))
	}
	return s, nil
}

func (s *store) close() error { return s.client.Close() }

func randomHex() string {
	var bytes [tokenSize]byte
	_, _ = rand.Read(bytes[:]) // never fails
	return hex.EncodeToString(bytes[:])
}

func (s *store) newClaim(session, job, origin string, value []byte) *claim {
	tag := session
	if tag == "" {
		tag = job
	}
	hash := sha256.Sum256(value)
	base := s.prefix + ":{" + encoded(tag) + "}"
	c := &claim{token: randomHex(), job: job, fingerprint: hex.EncodeToString(hash[:fingerprintBytes]), origin: origin}
	c.keys = append(c.keys, base+":job:"+encoded(job))
	if session != "" {
		c.keys = append(c.keys, base+":history", base+":applied", base+":applied2")
	}
	return c
}

// encoded percent-encodes what would end a tag or a key's part.
func encoded(text string) string {
	special := func(c byte) bool { return c < 0x20 || c == 0x7f || strings.IndexByte("%{}:", c) >= 0 }
	plain := true
	for i := 0; i < len(text) && plain; i++ {
		plain = !special(text[i])
	}
	if plain {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if special(text[i]) {
			fmt.Fprintf(&out, "%%%02X", text[i])
		} else {
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

// begun is the answer of begin.lua.
type begun struct {
	state string // run, done, busy, suspect, conflict
	reply string
	busy  time.Duration
	turns []string
}

func (s *store) tryBegin(ctx context.Context, c *claim) (begun, error) {
	answer, err := s.begin.Run(ctx, s.pipeline, c.keys, c.token, c.fingerprint, c.origin, s.incarnation, "", s.startedMs, leaseMs, c.job, "", keepMs, crashesMax, historyBytesMax, -1).Slice()
	if err != nil {
		return begun{}, err
	}
	b := begun{state: fmt.Sprint(answer[0])}
	switch b.state {
	case "run":
		c.epoch = answer[1].(int64)
		for _, turn := range answer[5].([]any) {
			b.turns = append(b.turns, turn.(string))
		}
	case "done":
		b.reply = answer[2].(string)
	case "busy":
		b.busy = time.Duration(answer[1].(int64)) * time.Millisecond
	}
	return b, nil
}

// tryFinish says whether the claim was still ours.
func (s *store) tryFinish(ctx context.Context, c *claim, end, reply, turn string) (bool, error) {
	answer, err := s.finish.Run(ctx, s.pipeline, c.keys, c.token, end, reply, turn, c.fingerprint, c.origin, c.job, turnsMax, sessionTTLs, replyTTLs, c.epoch, appliedMax).Text()
	return answer == "done", err
}

// again repeats a call until Redis has answered.
func again[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for {
		answer, err := call()
		var said redis.Error
		if err == nil || errors.As(err, &said) || ctx.Err() != nil {
			return answer, err
		}
		time.Sleep(redisBackoff)
	}
}
