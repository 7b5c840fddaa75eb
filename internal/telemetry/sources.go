package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"headworks/internal/vitals"
)

// Sources tell what is so at this moment. Each is called at a scrape, perhaps
// several at once, and returns quickly; nil ones are left out.
type Sources struct {
	InFlight       func(yield func(upstream string, n int))
	QueueDepth     func(yield func(class string, n int))
	ReplicaUp      func(yield func(upstream, replica string, up bool))
	Discovery      func(yield func(upstream, by string, d Discovery))
	Canary         func(yield func(model, target string, share float64, back bool))
	Shadow         func(yield func(model string, running, waiting int))
	Retrieval      func(yield func(*Retrieval)) // by the collections that are searched together
	StreamsOpen    func() int
	Dropped        func(yield func(stage string, records uint64))
	Refused        func(yield func(fault string, requests uint64))
	AcceptFailures func() uint64 // of the listener
	Generation     func() uint64 // of the configuration that serves
	ReloadFailures func() uint64
	Conversations  func() (n, bytes int64) // that are kept
	KeepFailures   func() uint64
	Peers          func(yield func(state string, n int))
	Blocks         func(yield func(what string, n uint64)) // of prompts, that gateways told each other
	Cells          func(up func(region string, up bool), rtt func(region string, seconds float64), room func(region string, n int))
	Questions      func(yield func(answer string, n uint64)) // of DNS
	Unheard        func() uint64                             // messages of gateways that were not listened to
	Engines        func(yield func(*Engine))
	Fits           func(yield func(class string, step, first float64, decides bool)) // of engines: by how much predictions are off
	Scrapes        func(yield func(upstream string, good, bad, restarts uint64))
	Cache          func(yield func(layer string, c Cached))
	Similar        func(yield func(model string, s Similar))
	PromptCaches   func() (savedUSD float64)                     // of upstreams
	SharedCache    func(yield func(what string, n uint64))       // counts, of the store that gateways share
	Collections    func() (behind time.Duration, recall float64) // of documents: the one furthest behind its source, and the least share that searches find
	SharedResting  func() (resting, is bool)                     // whether that store failed of late; is false where there is none
}

// Cached is what is kept in a layer of the cache, and what it was good for.
type Cached struct {
	Entries, Bytes           int64
	Hits, Misses, SharedHits uint64
	Gone                     map[string]uint64 // entries that left, by why
	Tokens                   uint64            // that hits saved
	USD, Seconds             float64           // that hits saved
}

// Similar is what became of answers to similar questions of a model. Compared and False
// outlive the process.
type Similar struct {
	Hits, Misses, Compared, False uint64
	Serving, Shadow, Stopped      int // indices
}

// Engine is what a replica says of itself, and for how long nothing newer is known.
type Engine struct {
	Upstream, Replica string
	Report            vitals.Report
	Asked             bool // Report is one
	Age               time.Duration
	GPUs              []vitals.GPU
}

// Retrieval is how searches for answers do; nil is not known.
type Retrieval struct {
	Collections                     string
	PSI, Empty, Cited, Support, Low *float64
	Alarms                          int
}

// Discovery is what is known of an upstream whose replicas are found.
type Discovery struct {
	Replicas int
	Answered time.Time // when an answer came last that counted; zero: never
	Failures uint64
}

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	inFlight       = gauge("inflight", "Requests that an upstream has.", "upstream")
	queueDepth     = gauge("queue_depth", "Requests that wait to be let in.", "class")
	replicaUp      = gauge("replica_up", "Whether a replica may get requests.", "upstream", "replica")
	foundReplicas  = gauge("discovery_replicas", "Replicas of an upstream that were found and count.", "upstream", "by")
	foundAge       = gauge("discovery_last_success_age_seconds", "Time since replicas were last looked for with success, or were last told.", "upstream", "by")
	foundFailures  = gauge("discovery_failures_total", "Answers about replicas that did not count, so that the last known ones stayed.", "upstream", "by")
	canaryShare    = gauge("canary_share", "The share of its model's requests that a canary has.", "model", "target")
	canaryBack     = gauge("canary_rolled_back", "Whether a canary went back.", "model", "target")
	copies         = gauge("shadow_copies", "Copies of requests that run, or wait.", "model", "state")
	retrievalIs    = gauge("retrieval_quality", "How searches for answers did in the last 15 minutes: psi of first scores against seven days, shares of searches without a passage, of sentences that cite one, of answers of low support, and their mean support.", "collections", "signal")
	retrievalBad   = gauge("retrieval_alarms", "Alarms about searches for answers that stand.", "collections")
	streamsOpen    = gauge("streams_open", "Streams to callers that are open.")
	dropped        = gauge("records_dropped_total", "Records that were lost.", "stage")
	refused        = gauge("refused_total", "Requests that were turned away before they had a caller or a route; they have no record.", "fault")
	acceptFailures = gauge("accept_failures_total", "Times that no connection could be accepted.")
	generation     = gauge("config_generation", "The generation of the configuration that serves.")
	reloadFailures = gauge("config_reload_failures_total", "Times that a new configuration was refused.")
	behindSource   = gauge("knowledge_behind_seconds", "Since the collection that is furthest behind its source was like it.")
	vectorRecall   = gauge("knowledge_recall_at_10", "Share of the ten nearest vectors that searches find, of the collection where it is least; 1 where it is not known.")
	conversations  = gauge("responses_conversations", "Conversations of the Responses API that are kept, when they were last counted.")
	keptBytes      = gauge("responses_bytes", "Bytes of them.")
	engineRequests = gauge("engine_requests", "Requests that an engine says it has, whoever sent them.", "upstream", "replica", "state")
	engineKV       = gauge("engine_kv_use", "Share of an engine's KV cache that requests hold, as it says.", "upstream", "replica")
	engineAge      = gauge("engine_age_seconds", "Since an engine last said something of itself.", "upstream", "replica")
	engineRestarts = gauge("engine_restarts_total", "Times that an engine began anew or was gone, by its metrics.", "upstream")
	fitError       = gauge("prediction_error", "By how much the time of a token, or of the first one, was foreseen wrongly of late: mean of the relative errors.", "class", "of")
	fitDecides     = gauge("prediction_decides", "Whether what is foreseen of a class of engines is good enough to decide.", "class")
	scrapes        = gauge("engine_scrapes_total", "Times that engines and exporters of GPUs were asked for their metrics.", "upstream", "outcome")
	gpuUse         = gauge("gpu_utilization", "Share of time that a replica's GPUs work, on average.", "upstream", "replica")
	gpuMemory      = gauge("gpu_memory_use", "Share of their memory that is taken, of the fullest.", "upstream", "replica")
	gpuPower       = gauge("gpu_power_watts", "Power they draw together.", "upstream", "replica")
	gpuThrottled   = gauge("gpu_throttled", "How many of them are slowed down by heat or power supply.", "upstream", "replica")
	gpuErrors      = gauge("gpu_errors", "How many of them report an error: the driver's last (XID), or memory that could not be corrected.", "upstream", "replica")
	keepFailures   = gauge("responses_lost_total", "Responses that were to be kept and could not be.")
	peers          = gauge("peers", "Other gateways of the cell.", "state")
	blocks         = gauge("peer_blocks_total", "Blocks of prompts that gateways of the cell told each other of.", "what")
	cellUp         = gauge("cell_up", "Whether a gateway of another cell answers.", "cell")
	cellRTT        = gauge("cell_rtt_seconds", "How long a round trip to another cell takes.", "cell")
	cellRoom       = gauge("cell_room", "Requests that another cell takes, as it says.", "cell")
	questions      = gauge("dns_answers_total", "Answers to questions of DNS.", "answer")
	cacheEntries   = gauge("cache_entries", "Entries that are kept.", "layer")
	cacheBytes     = gauge("cache_bytes", "Bytes of them, with what each is charged beside its value.", "layer")
	cacheLooks     = gauge("cache_requests_total", "Looks into the cache.", "layer", "outcome")
	cacheGone      = gauge("cache_gone_total", "Entries that left.", "layer", "why")
	cacheTokens    = gauge("cache_saved_tokens_total", "Tokens that hits saved.", "layer")
	cacheUSD       = gauge("cache_saved_usd_total", "Cost that hits saved.", "layer")
	cacheSeconds   = gauge("cache_saved_seconds_total", "Time of engines that hits saved.", "layer")
	similarLooks   = gauge("similar_requests_total", "Looks for an answer to a similar question.", "model", "outcome")
	similarChecks  = gauge("similar_compared_total", "Answers to similar questions that were compared with new ones.", "model", "verdict")
	similarIndices = gauge("similar_indices", "Indices of questions, by what they do.", "model", "state")
	promptUSD      = gauge("prompt_cache_saved_usd", "What reading from upstreams' caches of prompts saved, less what writing to them cost more.")
	sharedCache    = gauge("cache_shared_total", "What happened with the store that gateways share.", "what")
	sharedResting  = gauge("cache_shared_resting", "Whether that store failed of late, and nobody asks for a while.")
	unheard        = gauge("peer_refused_total", "Messages of gateways that were not listened to.")
)

// Describe implements prometheus.Collector.
func (s *Sources) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		behindSource, vectorRecall,
		inFlight, queueDepth, replicaUp, canaryShare, canaryBack, copies, foundReplicas, foundAge,
		foundFailures, streamsOpen, dropped, refused, acceptFailures, generation, reloadFailures,
		conversations, keptBytes, keepFailures, peers, blocks, unheard, cellUp, cellRTT, cellRoom,
		questions, engineRequests, engineKV, engineAge, scrapes, engineRestarts, gpuUse, gpuMemory,
		gpuPower, gpuThrottled, gpuErrors, fitError, fitDecides, cacheEntries, cacheBytes, cacheLooks, cacheGone, cacheTokens,
		cacheUSD, cacheSeconds, promptUSD, similarLooks, similarChecks, similarIndices, sharedCache, sharedResting, retrievalIs, retrievalBad,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Sources) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	if s.InFlight != nil {
		s.InFlight(func(upstream string, n int) { gauge(inFlight, float64(n), upstream) })
	}
	if s.QueueDepth != nil {
		s.QueueDepth(func(class string, n int) { gauge(queueDepth, float64(n), class) })
	}
	if s.ReplicaUp != nil {
		s.ReplicaUp(func(upstream, replica string, up bool) {
			v := 0.
			if up {
				v = 1
			}
			gauge(replicaUp, v, upstream, replica)
		})
	}
	if s.Fits != nil {
		s.Fits(func(class string, step, first float64, decides bool) {
			v := 0.
			if decides {
				v = 1
			}
			gauge(fitError, step, class, "token")
			gauge(fitError, first, class, "first_token")
			gauge(fitDecides, v, class)
		})
	}
	if s.Discovery != nil {
		s.Discovery(func(upstream, by string, d Discovery) {
			gauge(foundReplicas, float64(d.Replicas), upstream, by)
			counter(foundFailures, d.Failures, upstream, by)
			if !d.Answered.IsZero() {
				gauge(foundAge, time.Since(d.Answered).Seconds(), upstream, by)
			}
		})
	}
	if s.Canary != nil {
		s.Canary(func(model, target string, share float64, back bool) {
			v := 0.
			if back {
				v = 1
			}
			gauge(canaryShare, share, model, target)
			gauge(canaryBack, v, model, target)
		})
	}
	if s.Retrieval != nil {
		s.Retrieval(func(r *Retrieval) {
			for _, v := range []struct {
				signal string
				value  *float64
			}{{"psi", r.PSI}, {"empty", r.Empty}, {"cited", r.Cited}, {"support", r.Support}, {"low_support", r.Low}} {
				if v.value != nil {
					gauge(retrievalIs, *v.value, r.Collections, v.signal)
				}
			}
			gauge(retrievalBad, float64(r.Alarms), r.Collections)
		})
	}
	if s.Shadow != nil {
		s.Shadow(func(model string, running, waiting int) {
			gauge(copies, float64(running), model, "running")
			gauge(copies, float64(waiting), model, "waiting")
		})
	}
	if s.StreamsOpen != nil {
		gauge(streamsOpen, float64(s.StreamsOpen()))
	}
	if s.Dropped != nil {
		s.Dropped(func(stage string, n uint64) { counter(dropped, n, stage) })
	}
	if s.Refused != nil {
		s.Refused(func(fault string, n uint64) { counter(refused, n, fault) })
	}
	if s.AcceptFailures != nil {
		counter(acceptFailures, s.AcceptFailures())
	}
	if s.Generation != nil {
		gauge(generation, float64(s.Generation()))
	}
	if s.ReloadFailures != nil {
		counter(reloadFailures, s.ReloadFailures())
	}
	if s.Conversations != nil {
		n, size := s.Conversations()
		gauge(conversations, float64(n))
		gauge(keptBytes, float64(size))
	}
	if s.KeepFailures != nil {
		counter(keepFailures, s.KeepFailures())
	}
	if s.Peers != nil {
		s.Peers(func(state string, n int) { gauge(peers, float64(n), state) })
	}
	if s.Blocks != nil {
		s.Blocks(func(what string, n uint64) { counter(blocks, n, what) })
	}
	if s.Cells != nil {
		s.Cells(func(region string, up bool) {
			v := 0.
			if up {
				v = 1
			}
			gauge(cellUp, v, region)
		}, func(region string, seconds float64) { gauge(cellRTT, seconds, region) },
			func(region string, n int) { gauge(cellRoom, float64(n), region) })
	}
	if s.Questions != nil {
		s.Questions(func(answer string, n uint64) { counter(questions, n, answer) })
	}
	if s.Collections != nil {
		behind, recall := s.Collections()
		gauge(behindSource, behind.Seconds())
		gauge(vectorRecall, recall)
	}
	if s.Unheard != nil {
		counter(unheard, s.Unheard())
	}
	if s.Cache != nil {
		s.Cache(func(layer string, c Cached) {
			gauge(cacheEntries, float64(c.Entries), layer)
			gauge(cacheBytes, float64(c.Bytes), layer)
			counter(cacheLooks, c.Hits-c.SharedHits, layer, "hit")
			counter(cacheLooks, c.SharedHits, layer, "shared_hit")
			counter(cacheLooks, c.Misses, layer, "miss")
			for why, n := range c.Gone {
				counter(cacheGone, n, layer, why)
			}
			counter(cacheTokens, c.Tokens, layer)
			out <- prometheus.MustNewConstMetric(cacheUSD, prometheus.CounterValue, c.USD, layer)
			out <- prometheus.MustNewConstMetric(cacheSeconds, prometheus.CounterValue, c.Seconds, layer)
		})
	}
	if s.Similar != nil {
		s.Similar(func(model string, n Similar) {
			counter(similarLooks, n.Hits, model, "hit")
			counter(similarLooks, n.Misses, model, "miss")
			counter(similarChecks, n.Compared-n.False, model, "same")
			counter(similarChecks, n.False, model, "false")
			gauge(similarIndices, float64(n.Serving), model, "serving")
			gauge(similarIndices, float64(n.Shadow), model, "shadow")
			gauge(similarIndices, float64(n.Stopped), model, "stopped")
		})
	}
	if s.PromptCaches != nil {
		out <- prometheus.MustNewConstMetric(promptUSD, prometheus.GaugeValue, s.PromptCaches())
	}
	if s.SharedCache != nil {
		s.SharedCache(func(what string, n uint64) { counter(sharedCache, n, what) })
	}
	if s.SharedResting != nil {
		if resting, is := s.SharedResting(); is {
			v := 0.
			if resting {
				v = 1
			}
			gauge(sharedResting, v)
		}
	}
	if s.Engines != nil {
		s.Engines(func(e *Engine) { e.collect(gauge) })
	}
	if s.Scrapes != nil {
		s.Scrapes(func(upstream string, good, bad, restarts uint64) {
			counter(engineRestarts, restarts, upstream)
			counter(scrapes, good, upstream, "ok")
			counter(scrapes, bad, upstream, "failed")
		})
	}
}

// collect tells what is known; what is not has no series.
func (e *Engine) collect(gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		if v >= 0 {
			gauge(d, v, append([]string{e.Upstream, e.Replica}, labels...)...)
		}
	}
	if e.Asked {
		tell(engineRequests, float64(e.Report.Running), "running")
		tell(engineRequests, float64(e.Report.Waiting), "waiting")
		tell(engineKV, e.Report.KVUse)
		tell(engineAge, e.Age.Seconds())
	}
	if len(e.GPUs) == 0 {
		return
	}
	use, full, power, throttled, errors := 0., -1., 0., 0., 0.
	for i := range e.GPUs {
		g := &e.GPUs[i]
		use += max(g.Utilization, 0) / float64(len(e.GPUs))
		power += max(g.Power, 0)
		if g.MemoryTotal > 0 {
			full = max(full, float64(g.MemoryUsed)/float64(g.MemoryTotal))
		}
		if g.Throttled {
			throttled++
		}
		if g.XID != 0 || g.ECC > 0 || g.Failed {
			errors++
		}
	}
	tell(gpuUse, use)
	tell(gpuMemory, full)
	tell(gpuPower, power)
	tell(gpuThrottled, throttled)
	tell(gpuErrors, errors)
}
