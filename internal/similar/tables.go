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
	"ONE":   "i we you one someone somebody anyone anybody",
	"SELF":  "i we one",
	"MODAL": "can do does could should would will might may",
	"IMP":   "tell explain give show help write list describe suggest recommend provide teach name summarize make create translate find generate define let compare draft compose outline clarify share recommend advise elaborate discuss",
	"GOOD":  "best good great top nice ideal",
	"WAY":   "way ways method methods approach approaches",
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
thank you very|so much $ ->
thanks in advance $ ->
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
	"": "my your our", "i": "my", "we": "our", "you": "your", "one": "your my", "someone": "their", "somebody": "their", "anyone": "their", "anybody": "their",
}

// reflexives are the words for oneself.
var reflexives = map[string]string{
	"": "myself yourself ourselves oneself", "i": "myself", "we": "ourselves", "you": "yourself", "one": "oneself yourself",
}

// persons are those of whom more than one may be meant.
var persons = set(`i we you he she they him her them me us his their hers theirs`)

// auxiliaryAfter are words behind which do and does are mere auxiliaries.
var auxiliaryAfter = set(`what who whom where when why how long far much many often old tall big fast`)

// auxiliaries begin a yes/no question; the class is what may not be confused.
var auxiliaries = pairs(`is=?be are=?be am=?be do=?do does=?do was=?was were=?was did=?did can=?can could=?can will=?will would=?would
should=?should shall=?should must=?must may=?may might=?may has=?have have=?have had=?had`)

// orders begin a request that is no question.
var orders = set(sets["IMP"] + " tell how-to where-to")

var questionWords = set(`what who whom whose where when why how how-to where-to`)

var articles = set(`a an the`)

// function are words that hold a sentence together, at which a phrase ends.
var function = set(`i you we they he she it do does did can could should would will may might must was were have has had to for in on at by
with from about into over under between than that if when as or but not no without the a an`)

// mutual are relations that are the same seen from either side.
var mutual = set(`difference differences relationship relation similarity similarities distance comparison connection`)

// fillers say nothing, but for "exactly" and its kind before a number.
var fillers = set(`really actually exactly basically literally truly honestly`)

// idioms bring the frames of questions into one form. They run before a yes/no
// question is recognised.
var idioms = rules(`
^ i|we would like|love to know|understand|learn|ask -> know
^ i|we want|wanted|need to know|understand|ask -> know
^ i|we am|are|was|were wondering|curious about? -> know
^ i|we wonder -> know
^ do|does you|anyone|anybody|someone|somebody happen? to? know -> know
^ anyone|anybody know|knows -> know
^ can|could|would|will anyone|anybody|someone|somebody please? tell|explain me? -> know
^ may|can|could i|we know|ask -> know
^ any idea|ideas about|of? -> know
^ tell|inform|remind me|us -> know
^ let me|us know -> know
^ give|provide me|us a list of -> know
^ list|give the -> know
^ give|provide me|us -> know
^ help me|us understand -> know
^ know if|whether -> if?
^ which one|ones -> what
^ which -> what
which one|ones -> what
which -> what
^ know what|which|who|whom|whose|where|when|why|how -> =2
^ explain|describe how|why|what|when|where|which -> =2
^ know about ->  describe
^ know more|something|everything about -> describe
^ know ->  what
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
^ what is|are|would|will|could be? some|one? of? the? a? most? GOOD|effective|efficient|right|proper? possible? WAY to|for|of -> how-to
^ what is|are the? steps|process|procedure to|for|of -> how-to
^ what should|can|could|must ONE do to|for -> how-to
^ what do SELF do to|for -> how-to
^ what do|does ONE need|have to do to -> how-to
^ what is the? best time to -> when best time to
^ what some -> what
^ what city is the? capital -> what capital
capital city -> capital
benefit|benefits of -> advantages of
^ what should|can|could be done to -> how-to
^ how do|can|would|will you feel|think|work|know|look|function|remember|store|handle|see|define|like|say|call -> how you =4
^ how can|do|does|could|should|might|may ONE be able to -> how-to
^ how can|do|does|could|should|might|may ONE best? go about -> how-to
^ how can|do|does|could|should|might|may ONE best? -> how-to
^ how ONE can|could|should best? -> how-to
^ how would|will SELF best? -> how-to
^ how do|can people -> how-to
^ how to best? -> how-to
^ steps|instructions to|for -> how-to
^ where can|do|does|could|should|might|may ONE -> where-to
^ where ONE can|could|should -> where-to
^ where to -> where-to
^ how does it feel like? to -> what it like to
^ what does it feel like? to -> what it like to
^ what is|are your thoughts|opinion|opinions|view|views|take on|about|of -> what you think about
^ what do you think of|about -> what you think about
^ ?be it possible to -> ?can
^ ?be it possible for SELF to -> ?can
^ ?be there a|any|some GOOD? way|ways to|for|of -> how-to
^ ?be there a|any|some GOOD? way|ways ONE can|could -> how-to
^ ?be there any|some -> ?be there
^ how-to become more -> how-to become
^ how can -> how
^ ?can SELF -> ?can
^ ?should SELF -> ?should
^ what is meant by -> what
^ define -> what definition of
^ what does|do it cost -> how much it cost
what happens|happen when|if you|i|we|one -> what happens if you
^ what do|does you|one|they mean by -> what
^ what|who|where|when|why|how do you think is|are -> =1 is
in your opinion ->
according to you ->
have|has|had ever ->
ever ->
and what|why|how|when|where|who -> =2
could -> can
it like being -> it like to be
^ what is|are one of the GOOD -> what best
^ what is the GOOD -> what best
^ what are some? of? the? GOOD -> what best
^ what are some? of? the most -> what
^ what would|will|could be the? GOOD -> what best
^ what is one of the? -> what
^ what are a? some|few of? the? -> what
what should|can|could ONE -> what should
all|most|many|some of -> =1
have|has|need|needs to -> must
in order to -> to
so much $ ->
learn how to -> learn to
with no -> without
book|books|novel|novels to read -> =1
movie|movies|film|films|show|shows|series|anime to watch -> =1
place|places to visit|see -> =1
phone|phones|laptop|laptops|smartphone|smartphones|car|bike to buy -> =1
basic|main|key|major|actual|exact|real difference|differences between -> difference between
that is|are|was|were|can|will|would|has|have -> =2
regarding|concerning -> about
that ONE -> =2
my|your|our own -> =1
know|tell|check|determine whether|if -> know if
`)

// synonyms are words of which one may stand for the other in any question that is
// not about words.
var synonyms = rules(`
begin -> start
reduce|loose weight -> lose weight
south|north|latin|central america -> =1 =2
america -> usa
major -> main
quickest -> fastest
quit|quitting smoking -> stop smoking
get over -> overcome
handle -> deal with
cope with -> deal with
pic|pics|picture|pictures|photo|photos|photograph|photographs -> photo
below -> under
website|websites|site|sites -> site
web site|sites -> site
create -> make
enhance -> improve
boost -> increase
fb -> facebook
legit -> legitimate
how-to be -> how-to become
movies|film|films -> movie
cell|mobile|smart phone|phones -> phone
mobile|mobiles|smartphone|smartphones|cellphone|telephone -> phone
united states of america -> usa
united states -> usa
us of? a -> usa
united kingdom -> uk
purchase|purchasing -> buy
quickly|rapidly|quick -> fast
large -> big
earn|earning money -> make money
artificial intelligence -> ai
`)

// spellings are words that are written in two ways.
var spellings = pairs(`centre=center theatre=theater metre=meter litre=liter fibre=fiber grey=gray tyre=tire programme=program
programmes=programs aluminium=aluminum mum=mom maths=math licence=license defence=defense offence=offense practise=practice
e-mail=email catalogue=catalog dialogue=dialog colour=color favour=favor favourite=favorite behaviour=behavior honour=honor
labour=labor neighbour=neighbor humour=humor rumour=rumor flavour=flavor harbour=harbor tumour=tumor armour=armor
colours=colors favourites=favorites behaviours=behaviors neighbours=neighbors flavours=flavors analyse=analyze
travelling=traveling travelled=traveled traveller=traveler cancelled=canceled cancelling=canceling modelling=modeling
modelled=modeled labelled=labeled labelling=labeling jewellery=jewelry pyjamas=pajamas cheque=check judgement=judgment
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
