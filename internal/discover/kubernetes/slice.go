package kubernetes

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"headworks/internal/discover"
	"headworks/internal/fault"
)

// serviceLabel names the service of a slice.
const serviceLabel = "kubernetes.io/service-name"

// slice is what counts of an EndpointSlice (discovery.k8s.io/v1).
type slice struct {
	AddressType string `json:"addressType"` // IPv4, IPv6, FQDN
	Endpoints   []struct {
		Addresses  []string `json:"addresses"` // all of one endpoint; consumers use the first
		Conditions struct {
			Ready       *bool `json:"ready"`       // nil is true
			Serving     *bool `json:"serving"`     // ready, whether it ends or not; nil is as Ready
			Terminating *bool `json:"terminating"` // nil is false
		} `json:"conditions"`
		TargetRef *struct {
			Kind string `json:"kind"`
			UID  string `json:"uid"`
			Name string `json:"name"`
		} `json:"targetRef"`
		Zone *string `json:"zone"`
	} `json:"endpoints"`
	Ports []struct {
		Name     *string `json:"name"`
		Protocol *string `json:"protocol"` // nil is TCP
		Port     *int32  `json:"port"`     // nil is every port
	} `json:"ports"`
}

// read takes out of an object what counts; nothing of one that is no slice.
func read(u *unstructured.Unstructured) *slice {
	s := new(slice)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s); err != nil {
		return new(slice)
	}
	return s
}

// port returns which port of its endpoints is meant, and how many ports it could be; 0
// is none.
func (s *slice) port(want string) (port uint16, could int) {
	number, err := strconv.ParseUint(want, 10, 16)
	byNumber := err == nil
	if byNumber && len(s.Ports) == 0 { // endpoints of a service that names no port
		return uint16(number), 1
	}
	for _, p := range s.Ports {
		if p.Protocol != nil && *p.Protocol != "TCP" {
			continue
		}
		has := uint16(0)
		if p.Port != nil && *p.Port > 0 && *p.Port <= 65535 {
			has = uint16(*p.Port)
		}
		switch {
		case byNumber && (p.Port == nil || uint64(has) == number):
			return uint16(number), 1
		case byNumber, has == 0:
		case want != "" && p.Name != nil && *p.Name == want:
			return has, 1
		case want == "":
			port = has
			could++
		}
	}
	if could != 1 {
		return 0, could
	}
	return port, 1
}

// label is the value of a label, as the name of a zone is one.
var label = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)

// replicas returns the endpoints that may get requests: those that are ready and do not
// end, or where there is none such, those that serve while they end, as kube-proxy has
// it. A pod with addresses of both families is one replica, at its IPv4 address. Host
// is what endpoints with an IP address are asked for by.
func replicas(all map[string]*slice, o *Options, host string) ([]discover.Replica, error) {
	fourth := map[string]bool{} // who has an IPv4 address
	for _, s := range all {
		for i := range s.Endpoints {
			if s.AddressType == "IPv4" && len(s.Endpoints[i].Addresses) > 0 {
				fourth[s.target(i)] = true
			}
		}
	}
	delete(fourth, "")
	var found, ending []discover.Replica
	missing, several := 0, 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		port, could := s.port(o.Port)
		if port == 0 {
			if len(s.Endpoints) > 0 && could > 1 {
				several++
			} else if len(s.Endpoints) > 0 {
				missing++
			}
			continue
		}
		for i, e := range s.Endpoints {
			if len(e.Addresses) == 0 || s.AddressType == "IPv6" && fourth[s.target(i)] {
				continue
			}
			r := discover.Replica{URL: o.Form.At(e.Addresses[0], port)}
			if _, err := netip.ParseAddr(e.Addresses[0]); err == nil {
				r.Name = host
			}
			if e.Zone != nil && label.MatchString(*e.Zone) {
				r.Zone = *e.Zone
			}
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			serving := ready
			if e.Conditions.Serving != nil {
				serving = *e.Conditions.Serving
			}
			switch ends := e.Conditions.Terminating != nil && *e.Conditions.Terminating; {
			case ends && serving:
				ending = append(ending, r)
			case !ends && serving && ready:
				found = append(found, r)
			}
		}
	}
	if len(found) == 0 {
		found = ending
	}
	switch {
	case len(found) > 0:
	case several > 0:
		return nil, fault.New(fault.Connect, "the endpoints of service "+o.Service+" have several ports; say which one with port")
	case missing > 0 && o.Port != "":
		return nil, fault.New(fault.Connect, "the endpoints of service "+o.Service+" have no TCP port "+o.Port)
	case missing > 0:
		return nil, fault.New(fault.Connect, "the endpoints of service "+o.Service+" have no TCP port; say which one they listen on with port")
	}
	return found, nil
}

// target tells whose address an endpoint is; empty where nobody says.
func (s *slice) target(i int) string {
	switch t := s.Endpoints[i].TargetRef; {
	case t == nil:
		return ""
	case t.UID != "":
		return t.UID
	default:
		return t.Kind + "/" + t.Name
	}
}
