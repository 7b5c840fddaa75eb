package vitals

import "time"

// How often an engine is worth asking, by how busy it is.
const (
	EveryIdle      = time.Second
	EveryLoaded    = 250 * time.Millisecond
	EverySaturated = 100 * time.Millisecond
)

// fullKV is the share of a KV cache in use from which on an engine is saturated.
const fullKV = 0.9

// Every returns how soon an engine with so many requests that run and that wait, and
// such a share of its KV cache in use, is asked again.
func Every(running, waiting int, kv float64) time.Duration {
	switch {
	case waiting > 0 || kv >= fullKV:
		return EverySaturated
	case running > 0:
		return EveryLoaded
	}
	return EveryIdle
}
