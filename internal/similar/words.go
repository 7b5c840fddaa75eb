package similar

import "strings"

var negators = set(`not no never without except unless none nothing nobody nowhere neither nor hardly barely lack lacking n't`)

// prefixes turn a word into its opposite.
var prefixes = [...]string{"un", "in", "im", "ir", "il", "dis", "non", "mis", "anti", "de"}

// antonyms are pairs of opposites, by their bases.
var antonyms = opposites(`enable/disable on/off open/close allow/deny allow/block allow/forbid accept/reject start/stop begin/end
increase/decrease increase/reduce raise/lower up/down high/low more/less most/least best/worst good/bad better/worse max/min
maximum/minimum before/after first/last early/late fast/slow quick/slow hot/cold warm/cool big/small large/small long/short tall/short
old/new old/young rich/poor strong/weak easy/hard easy/difficult safe/dangerous cheap/expensive buy/sell lend/borrow win/lose
push/pull import/export upload/download encrypt/decrypt encode/decode lock/unlock install/uninstall add/remove add/delete create/delete
insert/remove include/exclude attach/detach connect/disconnect subscribe/unsubscribe follow/unfollow mount/unmount show/hide
love/hate like/hate pass/fail true/false yes/no right/wrong left/right male/female man/woman boy/girl husband/wife father/mother
son/daughter brother/sister above/below over/under inside/outside in/out into/out with/without all/none always/never everyone/nobody
public/private internal/external asc/desc ascending/descending positive/negative advantage/disadvantage pro/con benefit/drawback
gain/lose earn/spend save/spend save/waste arrive/leave enter/exit enter/leave remember/forget give/take send/receive ask/answer
question/answer teach/learn push/pop read/write client/server sync/async horizontal/vertical serial/parallel major/minor
minimize/maximize grow/shrink expand/collapse rise/fall alive/dead healthy/sick full/empty wet/dry light/dark light/heavy
near/far north/south east/west day/night morning/evening summer/winter past/future legal/illegal deep/shallow thick/thin wide/narrow
hire/fire attack/defend guilty/innocent employ/dismiss input/output source/target source/destination from/to upgrade/downgrade
encourage/discourage strengthen/weaken tighten/loosen heat/cool freeze/melt sunrise/sunset ceiling/floor debit/credit asset/liability
profit/loss supply/demand peace/war victory/defeat success/failure succeed/fail`)

func opposites(s string) map[string][]string {
	m := map[string][]string{}
	for p := range strings.FieldsSeq(s) {
		a, b, _ := strings.Cut(p, "/")
		a, b = base(a), base(b)
		m[a] = append(m[a], b)
		m[b] = append(m[b], a)
	}
	return m
}

// notGerunds end in -ing and are no form of the verb they look like.
var notGerunds = set(`evening morning thing king ring wing sing bring spring string during nothing something anything everything
building meeting wedding feeling being ceiling sibling earring herring sterling outing offspring bearing lining boxing`)

// movingWords are of questions whose answer changes with the day.
var movingWords = set(`today tonight tomorrow yesterday now nowadays currently current latest recent recently newest upcoming presently
lately news weather forecast live trending`)

var movingAfter = set(`week weeks month months year years weekend season morning evening afternoon night day days moment time hour quarter`)

// movingWord returns the first word of a text that makes its answer one of a day.
func movingWord(text string) string {
	before := ""
	for f := range strings.FieldsSeq(strings.ToLower(text)) {
		w := strings.Trim(f, around)
		w = strings.TrimSuffix(strings.ReplaceAll(w, "’", "'"), "'s")
		if movingWords[w] {
			return w
		}
		if (before == "this" || before == "last" || before == "next") && movingAfter[w] {
			return before + " " + w
		}
		before = w
	}
	return ""
}
