package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"headworks/internal/tenant"
)

// Cache is what keeps answers and what else was computed once.
type Cache struct {
	Memory  Bytes         `json:"memory,omitzero" min:"0" max:"1099511627776" jsonschema:"how much is kept in memory, of all layers together; those that are asked for least go first; 0 is nothing"`
	Secret  tenant.Secret `json:"secret,omitzero" jsonschema:"from which the keys of entries are made, 16 characters or more; gateways that share a cache have the same; one in the data folder unless given"`
	Encrypt string        `json:"encrypt,omitzero" enum:"on,off" jsonschema:"whether entries are encrypted where they leave this process; signed they are in any case"`
}

func (c *Cache) defaults() { c.Memory, c.Encrypt = 256<<20, "on" }

// Apart is what shared says where processes share nothing.
const Apart = "none"

// Store is where what several processes share is kept: a server that speaks the
// protocol of Redis.
type Store struct {
	Addr string // host:port
	TLS  bool
	User string // empty: the default one
	DB   int
}

// SharedStore returns what shared says, or false where nothing is shared.
func (c *Config) SharedStore() (Store, bool) {
	s, words := readStore(c.Shared)
	return s, words == "" && s.Addr != ""
}

// readStore returns what a text says of a store, or what is wrong with it.
func readStore(text string) (s Store, problem string) {
	const form = "write it as redis://host:6379/0, or rediss:// for TLS"
	if text == Apart {
		return s, ""
	}
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"redis", "rediss", "valkey", "valkeys"}, u.Scheme) || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return s, "neither none nor the address of a Redis or Valkey; " + form
	}
	if strings.Contains(u.Host, ",") {
		return s, "several servers; give one address, that of the primary or of what stands before it"
	}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			return s, "a password in the address would be shown wherever the address is; give it as shared_password"
		}
		s.User = u.User.Username()
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return s, "no port between 1 and 65535; " + form
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if s.DB, err = strconv.Atoi(db); err != nil || s.DB < 0 || s.DB > 1<<20 {
			return s, "the path is the number of a database; " + form
		}
	}
	s.Addr, s.TLS = net.JoinHostPort(u.Hostname(), port), u.Scheme == "rediss" || u.Scheme == "valkeys"
	return s, ""
}

// shared checks what several processes share.
func (r *reader) shared() {
	c := r.cfg
	store, problem := readStore(c.Shared)
	if problem != "" {
		r.at("shared", BadValue, problem)
		return
	}
	if !c.Cache.Secret.Empty() {
		r.secret("cache.secret", c.Cache.Secret, -1, map[string]int{})
	}
	switch {
	case store.Addr == "" && !c.SharedSecret.Empty():
		r.at("shared_password", BadValue, "nothing is shared, so nobody is asked with it; give shared too")
	case store.Addr != "" && c.Cache.Secret.Empty():
		r.at("shared", Missing, "gateways find each other's entries, and trust them, by a secret they have in common: give cache.secret, the same to all")
	case !c.SharedSecret.Empty():
		r.clean("shared_password", c.SharedSecret)
	}
}
