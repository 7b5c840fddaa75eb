package prefix

import (
	"encoding/binary"
	"math/bits"
)

// Block is how many bytes of a rendered prompt one hash stands for: about 64
// tokens.
const Block = 256

// MaxBlocks bounds the blocks of one prompt; what lies behind them takes no part.
const MaxBlocks = 8192

// Hasher turns a prompt, written to it piece by piece in the order in which the
// engine's template puts it, into the hashes of its blocks. Each is chained to the
// one before, so equal hashes mean equal beginnings. What does not fill a block is
// left out. The zero Hasher is ready.
type Hasher struct {
	blocks []uint64
	last   uint64
	held   [Block]byte
	n      int
}

// Reset makes h ready for another prompt, whose hashes are appended to blocks.
func (h *Hasher) Reset(blocks []uint64) { h.blocks, h.last, h.n = blocks, 0, 0 }

// Blocks returns the hashes so far.
func (h *Hasher) Blocks() []uint64 { return h.blocks }

// Write adds a piece.
func (h *Hasher) Write(p []byte) {
	if h.n > 0 {
		k := copy(h.held[h.n:], p)
		h.n += k
		if h.n < Block {
			return
		}
		h.n, p = 0, p[k:]
		h.block(h.held[:])
	}
	for len(p) >= Block {
		h.block(p[:Block])
		p = p[Block:]
	}
	h.n = copy(h.held[:], p)
}

// Weigh adds something that is no text, a picture say, by its hash: it weighs as
// many bytes as that many tokens.
func (h *Hasher) Weigh(p []byte, tokens int) {
	var word [8]byte
	sum := xxh64(p, 0)
	for i := range tokens / 2 {
		binary.LittleEndian.PutUint64(word[:], sum+uint64(i))
		h.Write(word[:])
	}
}

func (h *Hasher) block(b []byte) {
	if len(h.blocks) >= MaxBlocks {
		return
	}
	h.last = mix(xxh64(b, 0) ^ mix(h.last+1))
	h.blocks = append(h.blocks, h.last)
}

// Seed returns what sets the blocks of one model apart from those of another: the
// model, its adapter, and whoever may share cached prompts with whom.
func Seed(model, adapter, salt string) uint64 {
	s := xxh64([]byte(model), 1)
	s = xxh64([]byte(adapter), s)
	return xxh64([]byte(salt), s) | 1
}

// mix spreads the bits of x (the finaliser of SplitMix64, Steele et al. 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// The primes of XXH64 (Collet, xxHash specification 0.1.1).
const (
	prime1 uint64 = 0x9E3779B185EBCA87
	prime2 uint64 = 0xC2B2AE3D27D4EB4F
	prime3 uint64 = 0x165667B19E3779F9
	prime4 uint64 = 0x85EBCA77C2B2AE63
	prime5 uint64 = 0x27D4EB2F165667C5
)

// xxh64 is XXH64.
func xxh64(b []byte, seed uint64) uint64 {
	n := uint64(len(b))
	var h uint64
	if len(b) >= 32 {
		v1, v2, v3, v4 := seed+prime1, seed, seed, seed
		v1 += prime2
		v2 += prime2
		v4 -= prime1
		for len(b) >= 32 {
			s := (*[32]byte)(b) // of a size that is known, so that nothing is checked below
			v1 = round(v1, binary.LittleEndian.Uint64(s[:8]))
			v2 = round(v2, binary.LittleEndian.Uint64(s[8:16]))
			v3 = round(v3, binary.LittleEndian.Uint64(s[16:24]))
			v4 = round(v4, binary.LittleEndian.Uint64(s[24:]))
			b = b[32:]
		}
		h = bits.RotateLeft64(v1, 1) + bits.RotateLeft64(v2, 7) + bits.RotateLeft64(v3, 12) + bits.RotateLeft64(v4, 18)
		h = merge(merge(merge(merge(h, v1), v2), v3), v4)
	} else {
		h = seed + prime5
	}
	h += n
	for ; len(b) >= 8; b = b[8:] {
		h ^= round(0, binary.LittleEndian.Uint64(b))
		h = bits.RotateLeft64(h, 27)*prime1 + prime4
	}
	if len(b) >= 4 {
		h ^= uint64(binary.LittleEndian.Uint32(b)) * prime1
		h = bits.RotateLeft64(h, 23)*prime2 + prime3
		b = b[4:]
	}
	for _, c := range b {
		h ^= uint64(c) * prime5
		h = bits.RotateLeft64(h, 11) * prime1
	}
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}

func merge(h, v uint64) uint64 { return (h^round(0, v))*prime1 + prime4 }

func round(acc, input uint64) uint64 {
	return bits.RotateLeft64(acc+input*prime2, 31) * prime1
}
