package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// scheme is how a message proves in Authorization that its sender knows the secret.
const scheme = "HMAC-SHA256 "

// seal returns the proof of a message. The secret itself signs nothing else, so what
// is signed for another purpose is no proof here.
func seal(secret string, message []byte) string {
	key := hmac.New(sha256.New, []byte(secret))
	key.Write([]byte("headworks peers " + magic))
	sum := hmac.New(sha256.New, key.Sum(nil))
	sum.Write(message)
	return scheme + hex.EncodeToString(sum.Sum(nil))
}

// sealed reports whether a proof is one of the message.
func sealed(secret string, message []byte, proof string) bool {
	return secret != "" && strings.HasPrefix(proof, scheme) && hmac.Equal([]byte(proof), []byte(seal(secret, message)))
}
