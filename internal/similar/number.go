package similar

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// currencies are the signs and names of money, by one name each.
var currencies = map[string]string{
	"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee",
	"usd": "dollar", "eur": "euro", "gbp": "pound", "jpy": "yen", "inr": "rupee", "rs": "rupee", "re": "rupee",
	"dollars": "dollar", "euros": "euro", "rupees": "rupee", "bucks": "dollar",
}

// units are the names of measures, by one name each. Bits and bytes differ by their
// case and are told apart before.
var units = map[string]string{
	"%": "percent", "percents": "percent", "pct": "percent",
	"kg": "kilogram", "kgs": "kilogram", "kilo": "kilogram", "kilos": "kilogram", "kilograms": "kilogram", "kilogramme": "kilogram",
	"g": "gram", "gm": "gram", "grams": "gram", "mg": "milligram", "milligrams": "milligram",
	"lb": "pound", "lbs": "pound", "pounds": "pound", "oz": "ounce", "ounces": "ounce",
	"km": "kilometer", "kms": "kilometer", "kilometers": "kilometer", "kilometre": "kilometer", "kilometres": "kilometer",
	"m": "meter", "meters": "meter", "metre": "meter", "metres": "meter",
	"cm": "centimeter", "cms": "centimeter", "centimeters": "centimeter", "centimetre": "centimeter", "centimetres": "centimeter",
	"mm": "millimeter", "millimeters": "millimeter", "millimetre": "millimeter", "millimetres": "millimeter",
	"ft": "foot", "feet": "foot", "inch": "inch", "inches": "inch", "mi": "mile", "miles": "mile",
	"l": "liter", "liters": "liter", "litre": "liter", "litres": "liter", "ml": "milliliter", "milliliters": "milliliter", "millilitre": "milliliter", "millilitres": "milliliter",
	"ms": "millisecond", "milliseconds": "millisecond", "sec": "second", "secs": "second", "seconds": "second",
	"min": "minute", "mins": "minute", "minutes": "minute",
	"h": "hour", "hr": "hour", "hrs": "hour", "hours": "hour", "days": "day", "wk": "week", "wks": "week", "weeks": "week", "months": "month",
	"yr": "year", "yrs": "year", "years": "year",
	"kb": "kilobyte", "kilobytes": "kilobyte", "mb": "megabyte", "megabytes": "megabyte", "gb": "gigabyte", "gigabytes": "gigabyte", "tb": "terabyte", "terabytes": "terabyte",
}

// bigOrSmall are units whose capitals stand for others: 5 m are meters, 5 M millions.
var bigOrSmall = set(`m g l h mg mm ms mi min ml`)

// numerals are numbers said in words.
var numerals = map[string]int64{
	"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
	"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
	"seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
	"sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}

var scales = map[string]int64{
	"hundred": 100, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "lakh": 1e5, "crore": 1e7,
}

// ordinals are places in a row, in words.
var ordinals = map[string]string{
	"1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth", "6th": "sixth",
	"7th": "seventh", "8th": "eighth", "9th": "ninth", "10th": "tenth",
}

// numberTokens returns the tokens of a run that is a number, with its sign, money or
// unit, or nil. What has stops or strokes inside, as versions and dates have, is one
// token and exact.
func numberTokens(s string) []token {
	if o := ordinals[strings.ToLower(s)]; o != "" {
		return []token{{text: o, raw: s}}
	}
	if m, rest, ok := money(s); ok {
		if n := numberTokens(rest); n != nil {
			return append(n[:1:1], append([]token{{text: m, raw: s}}, n[1:]...)...)
		}
		return nil
	}
	i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsDigit(r) && !strings.ContainsRune(".,:/-", r) })
	if i < 0 {
		i = len(s)
	}
	digits, tail := s[:i], s[i:]
	minus := strings.HasPrefix(digits, "-") && len(digits) > 1
	digits = strings.TrimRight(strings.TrimPrefix(digits, "-"), ".,:/-")
	if digits == "" || !unicode.IsDigit(rune(digits[0])) || len(tail) > 0 && len(digits) < i && !minus {
		return nil
	}
	value, ok := plain(digits)
	switch {
	case ok:
	case strings.Count(digits, "-") == 1 && !strings.ContainsAny(digits, "/:"): // a range
		low, high, _ := strings.Cut(digits, "-")
		a, b := numberTokens(low), numberTokens(high+tail)
		if a == nil || b == nil {
			return nil
		}
		return append(append(a, token{text: "-", raw: "-", exact: true}), b...)
	case tail == "":
		return []token{{text: "#" + digits, raw: s, exact: true}}
	default:
		return []token{{text: "#" + strings.ToLower(s), raw: s, exact: true}}
	}
	if minus {
		value = "-" + value
	}
	if v, err := strconv.ParseInt(value, 10, 32); err == nil && tail == "k" && v > 8 { // 4k and 8k are pictures
		value, tail = value+"000", ""
	}
	to := []token{{text: "#" + value, raw: digits}}
	if tail == "" {
		return to
	}
	lower := strings.ToLower(tail)
	if len(tail) == 2 && tail[1] == 'b' && unicode.IsUpper(rune(tail[0])) { // Mb are bits
		return append(to, token{text: tail, raw: tail, exact: true})
	}
	if upper(tail) != "" && bigOrSmall[lower] {
		return append(to, token{text: tail, raw: tail, exact: true})
	}
	if m, rest, ok := money(lower); ok && rest == "" {
		return append(to, token{text: m, raw: tail})
	}
	if u := units[lower]; u != "" {
		return append(to, token{text: u, raw: tail})
	}
	if letters(tail) {
		return append(to, token{text: lower, raw: tail, name: true})
	}
	return nil
}

// money takes a sign or name of money from the beginning of a run.
func money(s string) (name, rest string, ok bool) {
	r, size := utf8.DecodeRuneInString(s)
	if m := currencies[string(r)]; m != "" && !unicode.IsLetter(r) {
		return m, s[size:], true
	}
	if lower := strings.ToLower(s); strings.HasPrefix(lower, "rs") {
		if rest := strings.TrimPrefix(lower[2:], "."); rest != "" && unicode.IsDigit(rune(rest[0])) {
			return "rupee", rest, true
		}
	}
	return "", s, false
}

// plain returns a number without signs that group its digits and without zeros that
// say nothing.
func plain(s string) (string, bool) {
	whole, part, point := strings.Cut(s, ".")
	if point && (part == "" || strings.ContainsFunc(part, func(r rune) bool { return !unicode.IsDigit(r) })) {
		return "", false
	}
	groups := strings.Split(whole, ",")
	for i, g := range groups {
		if g == "" || strings.ContainsFunc(g, func(r rune) bool { return !unicode.IsDigit(r) }) {
			return "", false
		}
		if i > 0 && len(g) != 3 && (len(g) != 2 || i == len(groups)-1) {
			return "", false
		}
	}
	whole = strings.TrimLeft(strings.Join(groups, ""), "0")
	if whole == "" {
		whole = "0"
	}
	if part = strings.TrimRight(part, "0"); part != "" {
		whole += "." + part
	}
	return whole, true
}

// numberWords puts numbers said in words together: twenty five is 25, 2 million
// 2000000. A single "one" stays a word, since it is often no number.
func numberWords(in []token) []token {
	out := make([]token, 0, len(in))
	for i := 0; i < len(in); {
		n, value := numberAt(in[i:])
		if n == 0 {
			t := in[i]
			if last := len(out) - 1; last >= 0 && strings.HasPrefix(out[last].text, "#") && !t.exact {
				t.text = measure(t)
			}
			// The money stands behind its number: rs 500 is 500 rupees.
			if m := currencies[t.text]; m != "" && !t.exact && i+1 < len(in) && strings.HasPrefix(in[i+1].text, "#") && (len(out) == 0 || !strings.HasPrefix(out[len(out)-1].text, "#")) {
				t.text = m
				in[i], in[i+1] = in[i+1], t
				t = in[i]
			}
			out = append(out, t)
			i++
			continue
		}
		t := in[i]
		t.text, t.name, t.pause, t.asks = "#"+value, false, in[i+n-1].pause, in[i+n-1].asks
		out = append(out, t)
		i += n
	}
	return out
}

// measure returns the one name of a unit or of money. Mb are bits and MB are bytes.
func measure(t token) string {
	if len(t.raw) == 2 && t.raw[1] == 'b' && unicode.IsUpper(rune(t.raw[0])) {
		return t.raw
	}
	if upper(t.raw) != "" && bigOrSmall[t.text] {
		return t.raw
	}
	if u := units[t.text]; u != "" {
		return u
	}
	if m := currencies[t.text]; m != "" {
		return m
	}
	return t.text
}

func numberAt(in []token) (n int, value string) {
	var total, part int64
	said := false
	for n < len(in) && !in[n].exact {
		w := in[n].text
		if v, ok := numerals[w]; ok && (!said || part%100 >= 20 && part%10 == 0 && v < 10 || part >= 100 && part%100 == 0) {
			part += v
			said = true
		} else if s, ok := scales[w]; ok && said && part > 0 && part*s/s == part {
			if s == 100 {
				part *= s
			} else {
				total, part = total+part*s, 0
			}
		} else if v, ok := small(w); ok && !said && n == 0 && n+1 < len(in) && scales[in[n+1].text] > 0 {
			part, said = v, true
		} else {
			break
		}
		n++
	}
	if !said || n == 1 && in[0].text == "one" {
		return 0, ""
	}
	return n, strconv.FormatInt(total+part, 10)
}

func small(w string) (int64, bool) {
	digits, ok := strings.CutPrefix(w, "#")
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(digits, 10, 32)
	return v, err == nil
}
