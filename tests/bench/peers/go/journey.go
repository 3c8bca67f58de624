package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	attempts       = 5
	backoff        = 200 * time.Millisecond
	attemptTimeout = 120 * time.Second
)

// Answers are asked for as streams.
var stream = os.Getenv("CHAT_PEER_STREAM") == "1"

type job struct {
	ID      string  `json:"id"`
	Session string  `json:"session"`
	Message *string `json:"message"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// What is passed on unread stays as it came.
type turn struct {
	Job      string            `json:"job"`
	Messages []json.RawMessage `json:"messages"`
}

type request struct {
	Model    string            `json:"model"`
	Messages []json.RawMessage `json:"messages"`
	Stream   bool              `json:"stream"`
}

type chunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
	} `json:"choices"`
}

type completion struct {
	Choices []struct {
		Message json.RawMessage `json:"message"`
	} `json:"choices"`
}

type reply struct {
	Job     string          `json:"job"`
	Session *string         `json:"session"`
	Status  string          `json:"status"`
	Message json.RawMessage `json:"message,omitempty"`
	Error   *failed         `json:"error,omitempty"`
}

// failed ends a job with an error reply.
type failed struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *failed) Error() string { return f.Code + ": " + f.Message }

// journey is one job's way from its record to its stored reply. Any goroutine.
type journey struct {
	llmURL string
	http   *http.Client
	store  *store
}

func newJourney(llmURL string, inFlight int, s *store) *journey {
	return &journey{llmURL: llmURL, store: s, http: &http.Client{
		Timeout:   attemptTimeout,
		Transport: &http.Transport{MaxIdleConns: inFlight, MaxIdleConnsPerHost: inFlight, DisableCompression: true},
	}}
}

// run says what to publish; nil: another worker ended the job.
func (j *journey) run(ctx context.Context, record *kgo.Record) ([]byte, error) {
	origin := fmt.Sprintf("%s-%d-%d", record.Topic, record.Partition, record.Offset)
	var work job
	if err := json.Unmarshal(record.Value, &work); err != nil || work.Message == nil {
		return encode(reply{Job: origin, Status: "error", Error: &failed{"invalid_job", "not a job"}}), nil
	}
	if work.ID == "" {
		work.ID = origin
	}
	if work.Session == "" {
		work.Session = string(record.Key)
	}
	ended := reply{Job: work.ID, Status: "ok"}
	if work.Session != "" {
		ended.Session = &work.Session
	}
	c := j.store.newClaim(work.Session, work.ID, origin, record.Value)
	b, err := j.begin(ctx, c)
	if err != nil {
		return nil, err
	}
	if b.state == "done" {
		return []byte(b.reply), nil
	}
	if b.state != "run" {
		ended.Status, ended.Error = "error", &failed{b.state, "the job can't be claimed"}
		return encode(ended), nil
	}
	user := encode(message{Role: "user", Content: *work.Message})
	said, err := j.ask(ctx, user, b.turns)
	var why *failed
	if errors.As(err, &why) {
		ended.Status, ended.Error = "error", why
		return j.finish(ctx, c, "dead", encode(ended), nil)
	}
	if err != nil {
		return nil, err
	}
	ended.Message = said
	return j.finish(ctx, c, "ok", encode(ended), encode(turn{Job: work.ID, Messages: []json.RawMessage{user, said}}))
}

func (j *journey) begin(ctx context.Context, c *claim) (begun, error) {
	for {
		b, err := again(ctx, func() (begun, error) { return j.store.tryBegin(ctx, c) })
		if err != nil || b.state != "busy" {
			return b, err
		}
		time.Sleep(min(b.busy, time.Second))
	}
}

func (j *journey) ask(ctx context.Context, user json.RawMessage, turns []string) (json.RawMessage, error) {
	messages := make([]json.RawMessage, 0, 2*len(turns)+1)
	for _, text := range turns {
		var earlier turn
		if json.Unmarshal([]byte(text), &earlier) == nil {
			messages = append(messages, earlier.Messages...)
		}
	}
	body := encode(request{Model: "sim", Messages: append(messages, user), Stream: stream})
	for attempt := range attempts {
		if attempt > 0 {
			time.Sleep(time.Duration(float64(backoff) * float64(int(1)<<attempt) * (0.5 + rand.Float64()/2)))
		}
		said, err := j.call(ctx, body)
		var refused *failed
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
			return said, err
		}
	}
	return nil, &failed{"attempts_exhausted", "the LLM doesn't answer"}
}

func (j *journey) call(ctx context.Context, body []byte) (json.RawMessage, error) {
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, j.llmURL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", "application/json")
	answer, err := j.http.Do(post)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if stream && answer.StatusCode == http.StatusOK {
		return folded(answer.Body)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		if answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < 500 {
			return nil, &failed{"refused", fmt.Sprintf("the LLM answers %d", answer.StatusCode)}
		}
		return nil, fmt.Errorf("the LLM answers %d", answer.StatusCode)
	}
	var said completion
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	if len(said.Choices) == 0 || len(said.Choices[0].Message) == 0 {
		return nil, errors.New("no message in the answer")
	}
	return said.Choices[0].Message, nil
}

// folded is the message that a stream's events come to.
func folded(body io.Reader) (json.RawMessage, error) {
	var said strings.Builder
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		event, is := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !is {
			continue
		}
		if bytes.Equal(event, []byte("[DONE]")) {
			return encode(message{Role: "assistant", Content: said.String()}), nil
		}
		var part chunk
		if err := json.Unmarshal(event, &part); err != nil {
			return nil, err
		}
		for _, choice := range part.Choices {
			said.WriteString(choice.Delta.Content)
		}
	}
	return nil, errors.Join(lines.Err(), errors.New("the stream ends before its end"))
}

func (j *journey) finish(ctx context.Context, c *claim, end string, reply, turn []byte) ([]byte, error) {
	ours, err := again(ctx, func() (bool, error) { return j.store.tryFinish(ctx, c, end, string(reply), string(turn)) })
	if err != nil || !ours {
		return nil, err
	}
	return reply, nil
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // only texts and what was JSON before
	}
	return text
}
