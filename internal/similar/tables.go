package similar

import "strings"

// set makes a set of words.
func set(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

// pairs makes a table of "from=to" words.
func pairs(s string) map[string]string {
	m := map[string]string{}
	for p := range strings.FieldsSeq(s) {
		from, to, _ := strings.Cut(p, "=")
		m[from] = strings.ReplaceAll(to, "_", " ")
	}
	return m
}

// sets are groups of words that rules name in capitals.
var sets = map[string]string{
	"ONE":   "i you one",
	"SELF":  "i one",
	"MODAL": "can do does",
	"IMP":   "tell explain give show help write list describe suggest recommend provide teach name summarize make create translate find generate define let compare draft compose outline clarify share recommend advise elaborate discuss",
	"ASK":   "what which who whom whose where when why how",
}

// courtesies is what is said around a request and not part of it.
var courtesies = rules(`
^ please|kindly|pls|plz ->
^ hi|hello|hey there|everyone|all|guys|team ->
^ can|could|would|will you please|kindly|possibly IMP -> =4
^ can|could|would|will you IMP -> =3
^ can|could|would|will|you please|kindly IMP -> =3
^ i|we would like|love|want|need you to ->
^ i|we want|need you to ->
^ would you please|kindly ->
please|pls|plz|thanks $ ->
thank you $ ->
thank you very|thanks in advance $ ->
thank you in advance $ ->
`)

// greetings, with a pause behind them, are no part of what is asked.
var greetings = set(`hi hello hey greetings there everyone all guys team so ok okay well now`)

// short are short forms and slips that have one reading.
var short = pairs(`can't=can_not cannot=can_not won't=will_not shan't=shall_not ain't=is_not let's=let_us
dont=do_not doesnt=does_not didnt=did_not isnt=is_not arent=are_not wasnt=was_not werent=were_not
wouldnt=would_not shouldnt=should_not couldnt=could_not cant=can_not hasnt=has_not havent=have_not
whats=what_is hows=how_is im=i_am ive=i_have youre=you_are thats=that_is u=you pls=please plz=please
wanna=want_to gonna=going_to gotta=have_to i'd=i_would you'd=you_would we'd=we_would`)

// copular are words after which 's is short for is.
var copular = set(`what who where how when why it that there here he she which`)

// determiners begin what owns something.
var determiners = set(`a an the my your our his her their its this that these those`)

// foreign are small words of other languages.
var foreign = set(`der das und ist nicht ich wie ein eine zu dem mit auf für von warum kann
le la les des est une un du que qui dans pour pas comment je et
el los las es una del por para como qué cómo en y se
il lo gli che di è non sono
os uma não é de da em
het een niet hoe ik wat`)

// aboutWords are words of requests about words, or with a text to work on.
var aboutWords = set(`translate translation spell spelling spelled spelt grammatical grammatically
rewrite rephrase paraphrase reword proofread corrected correction summarize summarise summary pronounce pronounced
synonym synonyms antonym antonyms rhyme rhymes plural singular sentence sentences phrase phrases word words
syllable syllables capitalize capitalise punctuation typo idiom acronym abbreviation verb noun adjective adverb
tense verbatim paragraph anagram palindrome hyphen apostrophe comma`)

// edits begin a request with a text to work on.
var edits = set(`fix correct edit convert format shorten extend polish check improve answer quote continue complete classify extract`)

// compares are words of questions that set two things beside each other.
var compares = set(`difference differences different differ differs compare compared comparison vs versus between distinguish better same similar
or instead rather than equal equivalent correct`)

// generic are persons who may be anybody.
var generic = set(`i you we one to`)

// owners are persons who may be anybody, with the possessives that are theirs.
var owners = map[string]string{
	"": "my your", "i": "my", "you": "your", "one": "your my",
}

// reflexives are the words for oneself.
var reflexives = map[string]string{
	"": "myself yourself oneself", "i": "myself", "you": "yourself", "one": "oneself yourself",
}

// persons are those of whom more than one may be meant.
var persons = set(`i we you he she they him her them me us his their hers theirs`)

// auxiliaryAfter are words behind which do and does are mere auxiliaries.
var auxiliaryAfter = set(`what who whom where when why how long far much many often old tall big fast`)

// auxiliaries begin a yes/no question; the class is what may not be confused.
var auxiliaries = pairs(`is=?be are=?be am=?be do=?do does=?do was=?was were=?was did=?did can=?can could=?could will=?will would=?would
should=?should shall=?shall must=?must may=?may might=?might has=?have have=?have had=?had`)

// orders begin a request that is no question.
var orders = set(sets["IMP"] + " tell how-to where-to")

var questionWords = set(`what who whom whose where when why how how-to where-to`)

var articles = set(`a an the`)

// function are words that hold a sentence together, at which a phrase ends.
var function = set(`i you we they he she it do does did can could should would will may might must was were have has had to for in on at by
with from about into over under between than that if when as or but not no without the a an`)

// mutual are relations that are the same seen from either side.
var mutual = set(`difference differences relationship relation similarity similarities distance comparison connection`)

// idioms bring the frames of questions into one form. They run before a yes/no
// question is recognised.
var idioms = rules(`
^ i|we would like|love to know -> know
^ i|we want|wanted|need to know -> know
^ i|we would like|love to understand|learn ASK -> =6
^ i|we want|need to understand|learn ASK -> =5
^ i|we am|are|was|were wondering|curious about? -> know
^ i|we wonder -> know
^ do|does you|anyone|anybody know -> know
^ anyone|anybody know|knows -> know
^ can|could|would|will anyone|anybody|someone|somebody please? tell|explain me? -> know
^ may|can|could i|we know -> know
^ tell me|us -> know
^ let me|us know -> know
^ give|provide me|us a list of -> know
^ list|give the -> know the
^ give|provide me|us -> know
^ help me|us understand ASK -> =4
^ know if|whether -> if?
^ which one|ones -> what
^ which -> what
which one|ones -> what
which -> what
^ know what|which|who|whom|whose|where|when|why|how -> =2
^ explain|describe how|why|what|when|where|which -> =2
^ know about ->  describe
^ know the -> what the
^ know some -> what are some
`)

// phrases bring what is left into one form.
var phrases = rules(`
^ in what way|ways -> how
^ how come -> why
a few -> a-few
a little -> a-little
^ what MODAL ONE best? go about -> how-to
^ what it takes to -> how-to
^ what does it take to -> how-to
^ what is the best|right|proper? possible? way to -> how-to
^ what are the best|right? ways to -> how-to
^ what is|are the? steps|process|procedure to -> how-to
^ what do SELF do to -> how-to
^ what do|does ONE need|have to do to -> how-to
^ what is the? best time to -> when best time to
^ what city is the? capital -> what capital
capital city -> capital
benefit|benefits of -> advantages of
^ how do|can|would|will you feel|think|work|know|look|function|remember|store|handle|see|define|like|say|call -> how you =4
^ how can|do|does ONE be able to -> how-to
^ how can|do|does ONE best? go about -> how-to
^ how can|do|does ONE best? -> how-to
^ how ONE can best? -> how-to
^ how to best? -> how-to
^ steps|instructions to -> how-to
^ where can|do|does ONE -> where-to
^ where ONE can -> where-to
^ where to -> where-to
^ how does it feel like? to -> what it like to
^ what does it feel like? to -> what it like to
^ what is|are your thoughts|opinion|opinions|view|views|take on|about|of -> what you think about
^ what do you think of|about -> what you think about
^ ?be it possible to -> ?can
^ ?be it possible for SELF to -> ?can
^ ?be there a|any way|ways to -> how-to
^ ?be there a|any way|ways ONE can -> how-to
^ ?can SELF -> ?can
^ ?should SELF -> ?should
^ what is meant by -> what
^ define -> what definition of
^ what does|do it cost -> how much it cost
what happens|happen when|if you|i|one -> what happens if you
and what|why|how|when|where|who -> =2
it like being -> it like to be
in order to -> to
so much $ ->
learn how to -> learn to
with no -> without
regarding|concerning -> about
know|tell|check|determine whether -> =1 if
`)

// synonyms are words of which one may stand for the other in any question that is
// not about words.
var synonyms = rules(`
loose weight -> lose weight
south|north|latin|central america -> =1 =2
america -> usa
quickest -> fastest
quit|quitting smoking -> stop smoking
web site -> website
web sites -> websites
e mail -> email
wi fi -> wifi
fb -> facebook
legit -> legitimate
cell|mobile phone|phones -> cellphone
united states of america -> usa
united states -> usa
us of? a -> usa
united kingdom -> uk
how-to|where-to purchase -> =1 buy
rapidly -> quickly
earn|earning money -> make money
artificial intelligence -> ai
`)

// spellings are words that are written in two ways.
var spellings = pairs(`centre=center theatre=theater litre=liter fibre=fiber grey=gray aluminium=aluminum mum=mom maths=math licence=license defence=defense offence=offense practise=practice
e-mail=email catalogue=catalog dialogue=dialog colour=color favour=favor favourite=favorite behaviour=behavior honour=honor
labour=labor neighbour=neighbor humour=humor rumour=rumor flavour=flavor harbour=harbor tumour=tumor armour=armor
colours=colors favourites=favorites behaviours=behaviors neighbours=neighbors flavours=flavors analyse=analyze
travelling=traveling travelled=traveled traveller=traveler cancelled=canceled cancelling=canceling modelling=modeling
modelled=modeled labelled=labeled labelling=labeling jewellery=jewelry pyjamas=pajamas judgement=judgment
skilful=skillful fulfil=fulfill enrol=enroll ageing=aging plough=plow sceptical=skeptical`)

// spelling returns a word as Americans write it.
func spelling(w string) string {
	if s := spellings[w]; s != "" {
		return s
	}
	for _, tail := range [...]string{"ise", "ised", "ises", "ising", "isation", "isations"} {
		if stem, ok := strings.CutSuffix(w, tail); ok && len(stem) > 4 {
			return stem + "iz" + tail[2:]
		}
	}
	return w
}

// asTheyAre end like a plural and are none, or mean something else than their
// singular.
var asTheyAre = set(`news goods glasses customs arms means physics mathematics economics politics ethics statistics us is this his its as was has
does always perhaps yes bus gas lens series species windows pants jeans scissors athletics gymnastics thanks besides sometimes towards
upwards downwards forwards backwards afterwards indoors outdoors overseas nowadays spirits grounds remains savings times rights friends
manners premises peoples states hers ours yours theirs aids securities sas aws ios dos css https rss dns sms gps`)

// singular cuts the ending of a plural, or of a verb in the third person.
func singular(w string) string {
	n := len(w)
	switch {
	case n < 4 || asTheyAre[w] || w[n-1] != 's' || strings.HasPrefix(w, "#") || strings.HasPrefix(w, "?"):
		return w
	case strings.HasSuffix(w, "ss"), strings.HasSuffix(w, "us"), strings.HasSuffix(w, "is"):
		return w
	case strings.HasSuffix(w, "ies") && n > 4:
		return w[:n-3] + "y"
	case strings.HasSuffix(w, "sses"), strings.HasSuffix(w, "xes"), strings.HasSuffix(w, "ches"), strings.HasSuffix(w, "shes"), strings.HasSuffix(w, "zzes"):
		return w[:n-2]
	}
	return w[:n-1]
}

// participles are those that no ending tells.
var participles = set(`left paid built made found sold told held sent kept led met won lost hit hurt put set cut shut read bought caught taught
thought brought fought drawn seen done gone born worn torn sworn begun run sung hung stuck struck bound wound spent lent bent heard
laid said shot slept felt dealt burnt spelt split spread cast cost let bet quit rid come become understood stood`)

// places are names that the rules know; all other names are left alone.
var places = set(`america south north latin central united states kingdom fb ai wi fi`)

// apart are words that are others when they are written as one: every day is not everyday.
var apart = set(`every some any all may no what when where who how`)

// lettered are things that a letter may stand behind: vitamin a.
var lettered = set(`vitamin hepatitis plan option grade type team class group section appendix part level tier exhibit schedule point variant
version model series unit block room gate terminal platform drive column node`)
