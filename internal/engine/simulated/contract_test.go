package simulated

import (
	"testing"
	"testing/synctest"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/latency"
)

func TestContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := play(latency.DemoLarge)
		enginetest.Contract(t, e, func(stream bool) *engine.Call { return call(1, latency.DemoLarge, stream) })
		idle(t, e)
	})
}
