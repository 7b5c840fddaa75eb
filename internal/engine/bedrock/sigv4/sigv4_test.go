package sigv4

import (
	"strings"
	"testing"
	"time"
)

// TestSign compares with a signature computed step by step as AWS' guide to the
// signing process has it: the colon of the model's name is escaped in what is sent,
// and once more in what is signed.
func TestSign(t *testing.T) {
	s := New("AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	const host, target, body = "bedrock-runtime.us-east-1.amazonaws.com", "/model/amazon.nova-lite-v1%3A0/converse", `{"a":1}`
	fields, err := s.Sign(t.Context(), host, target, []byte(body), "bedrock", "us-east-1", now)
	if err != nil {
		t.Fatal(err)
	}
	want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=" +
		byHand(host, "/model/amazon.nova-lite-v1%253A0/converse", body, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	if len(fields) != 2 || fields[0] != [2]string{"Authorization", want} || fields[1] != [2]string{"X-Amz-Date", "20150830T123600Z"} {
		t.Errorf("%q\nwant %s", fields, want)
	}
}

// TestSignGet compares with AWS' example of listing a bucket (Amazon S3 API Reference,
// Signature Calculations for the Authorization Header: Transferring Payload in a
// Single Chunk, "GET Bucket (List Objects)").
func TestSignGet(t *testing.T) {
	s := New("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
	fields, err := s.SignGet(t.Context(), "examplebucket.s3.amazonaws.com", "/?max-keys=2&prefix=J", "us-east-1", time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	const want = "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
	if len(fields) != 3 || !strings.HasSuffix(fields[0][1], want) || fields[2][0] != "X-Amz-Content-Sha256" {
		t.Errorf("%q, want %s", fields, want)
	}
}

func TestKeys(t *testing.T) {
	if New("ABSKexample") != nil {
		t.Error("a key of Bedrock's own signs")
	}
	fields, err := New("A:S:T/+=").Sign(t.Context(), "h", "/", nil, "bedrock", "eu-west-1", time.Unix(0, 0))
	if err != nil || len(fields) != 3 || fields[2] != [2]string{"X-Amz-Security-Token", "T/+="} || !strings.Contains(fields[0][1], "x-amz-security-token") {
		t.Errorf("%q, %v", fields, err)
	}
}
