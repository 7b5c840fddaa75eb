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
	if len(h.blocks) >= MaxBlocks {
		return
	}
	if h.n > 0 {
		k := copy(h.held[h.n:], p)
		h.n += k
		if h.n < Block {
			return
		}
		h.n, p = 0, p[k:]
		h.chain(xxh64(h.held[:], 0))
	}
	for len(p) >= 2*Block && len(h.blocks) < MaxBlocks {
		first, second := xxh64Two((*[2 * Block]byte)(p))
		h.chain(first)
		h.chain(second)
		p = p[2*Block:]
	}
	if len(p) >= Block {
		h.chain(xxh64(p[:Block], 0))
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

// chain adds a block, of which the hash is given.
func (h *Hasher) chain(block uint64) {
	if len(h.blocks) >= MaxBlocks {
		return
	}
	h.last = mix(block ^ mix(h.last+1))
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
	h := seed + prime5
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
		h = merge(v1, v2, v3, v4)
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
	return avalanche(h)
}

// xxh64Two is XXH64 of two blocks. Each round waits for the one before, so a processor
// does the rounds of one while those of the other wait.
func xxh64Two(b *[2 * Block]byte) (uint64, uint64) {
	v1, v2, v3, v4 := prime1, prime2, uint64(0), uint64(0)
	v1 += prime2
	v4 -= prime1
	w1, w2, w3, w4 := v1, v2, v3, v4
	for i := 0; i < Block; i += 32 {
		s, t := (*[32]byte)(b[i:]), (*[32]byte)(b[Block+i:])
		v1 = round(v1, binary.LittleEndian.Uint64(s[:8]))
		w1 = round(w1, binary.LittleEndian.Uint64(t[:8]))
		v2 = round(v2, binary.LittleEndian.Uint64(s[8:16]))
		w2 = round(w2, binary.LittleEndian.Uint64(t[8:16]))
		v3 = round(v3, binary.LittleEndian.Uint64(s[16:24]))
		w3 = round(w3, binary.LittleEndian.Uint64(t[16:24]))
		v4 = round(v4, binary.LittleEndian.Uint64(s[24:]))
		w4 = round(w4, binary.LittleEndian.Uint64(t[24:]))
	}
	return avalanche(merge(v1, v2, v3, v4) + Block), avalanche(merge(w1, w2, w3, w4) + Block)
}

func round(acc, input uint64) uint64 {
	return bits.RotateLeft64(acc+input*prime2, 31) * prime1
}

func merge(v1, v2, v3, v4 uint64) uint64 {
	h := bits.RotateLeft64(v1, 1) + bits.RotateLeft64(v2, 7) + bits.RotateLeft64(v3, 12) + bits.RotateLeft64(v4, 18)
	h = (h^round(0, v1))*prime1 + prime4
	h = (h^round(0, v2))*prime1 + prime4
	h = (h^round(0, v3))*prime1 + prime4
	return (h^round(0, v4))*prime1 + prime4
}

func avalanche(h uint64) uint64 {
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}
