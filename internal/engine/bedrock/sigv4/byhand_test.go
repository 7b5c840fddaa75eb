package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// byHand computes the signature of the test's request without AWS' signer.
func byHand(host, path, body, secret string) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	request := strings.Join([]string{
		"POST", path, "", "host:" + host, "x-amz-date:20150830T123600Z", "", "host;x-amz-date", hash(body),
	}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", "20150830T123600Z", "20150830/us-east-1/bedrock/aws4_request", hash(request)}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{"20150830", "us-east-1", "bedrock", "aws4_request"} {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, toSign))
}
