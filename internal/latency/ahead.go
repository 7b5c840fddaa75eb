package latency

import (
	"math"
	"time"
)

// Ahead is what one engine still has to do of what it was sent, rolled forward with the
// constants of a Fit: prompts are read first come first served, and every first token
// puts right how far it has come. Moments given to it do not go back. The zero Ahead is
// an engine that has nothing to do.
type Ahead struct {
	at    time.Time // until when it is rolled forward
	ready time.Time // when the prompt that found it idle reaches its queue

	sent    float64 // prompt tokens, since the beginning
	read    float64 // of them, as far as is known
	done    float64 // of those whose prompt is told to be read
	waiting int     // prompts that have no first token

	decodes int
	prompts float64 // tokens of their prompts
	grown   float64 // tokens that a decode has made, since the beginning
	since   float64 // sum of what grown was when each decode began
	area    float64 // KV tokens in decode over time, in token seconds

	late   float64   // seconds by which first tokens came later than the constants say, of late
	lateAt time.Time // when the last of them came
}

// Mark is what is kept of a request between its calls of Ahead.
type Mark struct {
	tokens  float64 // of its prompt, to be read
	end     float64 // sent, when it was
	prompt  float64 // whole, for the KV cache
	ahead   float64 // tokens to read when it was sent, its own among them
	kv      float64 // tokens in decode then
	grown   float64
	area    float64
	done    float64
	first   float64       // seconds to its first token, as the constants say ...
	said    time.Duration // ... and as Outlook does
	began   time.Time     // to decode
	reading bool
	decodes bool
}

// Outlook is what an engine's outstanding work means for a prompt that is sent now.
type Outlook struct {
	overhead float64 // seconds
	busy     float64 // seconds until prompts sent before can be read at all
	tokens   float64 // to read before
	step     float64 // seconds a step takes without prompts
	growth   float64 // by which each takes longer than the one before
	token    float64 // seconds a prompt token
	budget   float64 // prompt tokens that a step has room for
	half     float64 // of the running step
	late     float64 // what the constants do not explain, by the first tokens of late
}

// kv is how many tokens of KV the decodes hold now.
func (a *Ahead) kv() float64 {
	return max(a.prompts+float64(a.decodes)*a.grown-a.since, 0)
}

// Roll brings a forward to now.
func (a *Ahead) Roll(now time.Time, c *Constants) {
	if a.at.IsZero() || a.waiting == 0 && a.decodes == 0 {
		a.at = now
		return
	}
	d := now.Sub(a.at).Seconds()
	if d <= 0 {
		return
	}
	step, budget := c.Base.Seconds()+c.PerKV*a.kv(), max(float64(c.Budget-a.decodes), 1)
	if a.read < a.sent {
		from := a.at
		if a.ready.After(from) {
			from = a.ready
		}
		if able := now.Sub(from).Seconds(); able > 0 {
			read := min(able/(1/c.Rate+step/budget), a.sent-a.read)
			a.read += read
			d = max(d-read/c.Rate, 0) // the rest is for steps
		}
	}
	if a.decodes > 0 {
		grown := d / max(step, 1e-4)
		a.area += grown * (a.kv() + float64(a.decodes)*grown/2)
		a.grown += grown
	}
	a.at = now
}

func (a *Ahead) outlook(now time.Time, c *Constants) Outlook {
	o := Outlook{
		overhead: c.Overhead.Seconds(), tokens: a.sent - a.read,
		step: c.Base.Seconds() + c.PerKV*a.kv(), growth: c.PerKV * float64(a.decodes), token: 1 / c.Rate,
		budget: max(float64(c.Budget-a.decodes), 1),
	}
	if a.decodes > 0 {
		o.half = o.step / 2
	}
	if a.read < a.sent && a.ready.After(now) {
		o.busy = a.ready.Sub(now).Seconds()
	}
	o.late = a.lateness(now)
	return o
}

// lateness is what is left of late.
func (a *Ahead) lateness(now time.Time) float64 {
	if a.late == 0 {
		return 0
	}
	return a.late * max(1-now.Sub(a.lateAt).Seconds()/lateFades, 0)
}

// Outlook returns what the engine, rolled forward to now, has before it.
func (a *Ahead) Outlook(now time.Time, c *Constants) Outlook {
	a.Roll(now, c)
	return a.outlook(now, c)
}

// First returns when a prompt of which so many tokens are to be read would have its
// first token, if it were sent now.
func (o Outlook) First(tokens int) time.Duration { return o.says(o.first(tokens)) }

// says returns what is made of what the constants say.
func (o *Outlook) says(first float64) time.Duration { return seconds(max(first+o.late, first/2)) }

// first returns what the constants say.
func (o *Outlook) first(tokens int) float64 {
	work := func(tokens float64) float64 {
		steps := math.Ceil(tokens / o.budget)
		return steps*(o.step+o.growth*(steps-1)/2) + tokens*o.token
	}
	whole := work(o.tokens + float64(max(tokens, 1)))
	own := work(float64(max(tokens, 1)))
	// While it is on its way, the engine reads what came before.
	return max(o.overhead+o.half, o.busy+whole-own) + own
}

// Each returns how long a token of an answer takes there, while no prompt is read.
func (o Outlook) Each() time.Duration { return seconds(o.step) }

// Queued returns how long the prompts that were sent before take.
func (o Outlook) Queued() time.Duration {
	return seconds(o.busy + math.Ceil(o.tokens/o.budget)*o.step + o.tokens*o.token)
}

// Sent notes that a prompt was sent, of which tokens are to be read. An answer that is
// not streamed tells nothing of its beginning: it counts as read and decoding at once.
func (a *Ahead) Sent(now time.Time, c *Constants, tokens, prompt int, streamed bool) Mark {
	o := a.Outlook(now, c)
	m := Mark{tokens: float64(max(tokens, 0)), prompt: float64(max(prompt, 0)), kv: a.kv(), reading: true, first: o.first(tokens)}
	m.said = o.says(m.first)
	if a.waiting == 0 {
		if a.read < a.sent { // all are told to be read
			a.read, o.tokens, o.busy = a.sent, 0, 0
			m.first = o.first(tokens)
		}
		a.ready = now.Add(c.Overhead)
	}
	a.sent += m.tokens
	m.end, m.ahead = a.sent, a.sent-a.read
	a.waiting++
	if !streamed {
		a.done += m.tokens
		a.decode(now, &m)
	}
	return m
}

// First returns when Outlook said, as the request was sent, that its first token would
// come.
func (m *Mark) First() time.Duration { return m.said }

func (a *Ahead) decode(now time.Time, m *Mark) {
	m.decodes, m.began, m.grown, m.area, m.done = true, now, a.grown, a.area, a.done
	a.decodes++
	a.prompts += m.prompt
	a.since += a.grown
}

// Began notes the first token of a prompt that took so long since it was sent and was
// predicted to take so long, 0 if nobody asked. It returns what that tells.
func (a *Ahead) Began(now time.Time, c *Constants, m *Mark, took, predicted time.Duration) Begun {
	a.Roll(now, c)
	idle := m.ahead == m.tokens
	if m.reading {
		m.reading = false
		a.waiting--
		// It is read, and of what was sent behind it no more than fits the same step.
		a.read = max(m.end, min(a.read, m.end+float64(c.Budget)))
		a.read = min(a.read, a.sent)
		a.done += m.tokens
	}
	if !m.decodes {
		a.decode(now, m)
		late := a.lateness(now)
		by := lateStep * (m.first + math.Abs(late))
		a.late, a.lateAt = late+math.Copysign(by, took.Seconds()-m.first-late), now
	}
	return Begun{Took: took, Predicted: predicted, Tokens: m.ahead, KV: m.kv, Idle: idle}
}

// Ended notes that a request is over there, whole or not. Of a whole stream that made
// so many tokens, the last of them then, it returns what that tells; false if that is
// nothing.
func (a *Ahead) Ended(now time.Time, c *Constants, m *Mark, tokens int, first, last time.Time) (Decoded, bool) {
	a.Roll(now, c)
	var d Decoded
	told := false
	if grown := a.grown - m.grown; m.decodes && !m.reading && tokens >= MinTokens && grown > 0 && last.After(first) {
		steps := float64(tokens - 1)
		d = Decoded{
			PerToken: time.Duration(float64(last.Sub(first)) / steps),
			KV:       (a.area - m.area) / grown,
			Prompt:   (a.done - m.done) / steps,
		}
		told = true
	}
	if m.reading {
		m.reading = false
		a.waiting--
		a.read = min(a.read+min(m.tokens, max(m.end-a.read, 0)), a.sent)
	}
	if m.decodes {
		m.decodes = false
		a.decodes--
		a.prompts -= m.prompt
		a.since -= m.grown
		if a.decodes == 0 { // what rounding left
			a.prompts, a.since = 0, 0
		}
	}
	if a.waiting == 0 {
		a.read = a.sent
	}
	return d, told
}

// What the constants do not explain lasts for some time: an engine waits for room in its
// KV cache or for a place in its batch, others send requests there too, or it is slower
// than the rest of its class. So by how much first tokens come later, or sooner, than
// the constants say is followed: its median, by small steps, since single ones tell
// little, and some of them too much.
const (
	lateStep  = 0.02 // of what is foreseen
	lateFades = 10   // seconds until nothing of it is left, while none comes
)

// Waiting returns how many prompts have no first token yet, of how many tokens that
// are not read as far as is known.
func (a *Ahead) Waiting() (prompts int, tokens float64) { return a.waiting, a.sent - a.read }

// Decodes returns how many answers are under way.
func (a *Ahead) Decodes() int { return a.decodes }
