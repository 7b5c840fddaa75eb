package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// scheme is how a message proves in Authorization that its sender knows the secret.
const scheme = "HMAC-SHA256 "

// headField is the header in which the head of a message proves the same, before anybody
// has read the rest: the seconds since 1970, and a proof of them and of Authorization.
const headField = "Headworks-Peer"

// seal returns the proof of a message. The secret itself signs nothing else, so what
// is signed for another purpose is no proof here.
func seal(secret string, message []byte) string {
	return scheme + sign(secret, "headworks peers "+magic, message)
}

// sealed reports whether a proof is one of the message.
func sealed(secret string, message []byte, proof string) bool {
	return secret != "" && strings.HasPrefix(proof, scheme) && hmac.Equal([]byte(proof), []byte(seal(secret, message)))
}

// head returns the proof of the head of a message that has this Authorization.
func head(secret, authorization string, now time.Time) string {
	at := strconv.FormatInt(now.Unix(), 10)
	return at + " " + sign(secret, "headworks peers head "+magic, []byte(at+" "+authorization))
}

// headed reports whether a proof is one of such a head, and of now.
func headed(secret, authorization, proof string, now time.Time) bool {
	at, _, _ := strings.Cut(proof, " ")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if secret == "" || err != nil {
		return false
	}
	sent := time.Unix(seconds, 0)
	off := now.Sub(sent)
	return off <= skew && off >= -skew && hmac.Equal([]byte(proof), []byte(head(secret, authorization, sent)))
}

// sign returns what only those can make who know the secret, for one purpose.
func sign(secret, purpose string, what []byte) string {
	key := hmac.New(sha256.New, []byte(secret))
	key.Write([]byte(purpose))
	sum := hmac.New(sha256.New, key.Sum(nil))
	sum.Write(what)
	return hex.EncodeToString(sum.Sum(nil))
}
