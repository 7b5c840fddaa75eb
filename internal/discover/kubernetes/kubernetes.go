// Package kubernetes finds replicas by the EndpointSlices of a service, as the API
// server tells of them: it lists them once and watches what changes from there. How
// that is done right (versions, bookmarks, 410 Gone, cut watches, tokens that change)
// is client-go's; what a slice means is said here.
package kubernetes

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"headworks/internal/discover"
	"headworks/internal/fault"
)

// Options are which service is watched, and through whom.
type Options struct {
	Service    string
	Namespace  string // of the service; empty: this pod's own, or that of the kubeconfig's context
	Port       string // name or number of the endpoints' port; empty: they have one
	Kubeconfig string // a file; empty: the service account of this pod
	Form       discover.Form
}

// Finder watches the endpoints of a service.
type Finder struct {
	options Options
	connect func() (c *rest.Config, namespace string, err error)
}

// New returns the finder of the endpoints of a service.
func New(o Options) *Finder { return &Finder{options: o, connect: o.account} }

const (
	// again is how long until the credentials are looked for again where there are none.
	again = 10 * time.Second
	// gather is how long a change waits for others: a rollout writes many slices, and
	// the two addresses of a pod come one after the other.
	gather = 100 * time.Millisecond
	// soon is how long after a failure the API server is asked again, which doubles until
	// late.
	soon, late = time.Second, 15 * time.Second
	// patience is how long a list may take.
	patience = 30 * time.Second
)

// resource is what is listed and watched. It is of version 1 since Kubernetes 1.21.
func resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
}

// Watch implements discover.Finder.
func (f *Finder) Watch(ctx context.Context, tell func([]discover.Replica, error)) {
	ctx = klog.NewContext(ctx, klog.New(nil)) // what is wrong is told, and not logged elsewhere
	for ctx.Err() == nil {
		client, namespace, err := f.client()
		if err == nil {
			f.follow(ctx, client.Resource(resource()).Namespace(namespace), namespace, tell)
			return
		}
		tell(nil, err)
		pause(ctx, again)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (f *Finder) client() (dynamic.Interface, string, error) {
	c, namespace, err := f.connect()
	if err != nil {
		return nil, "", err
	}
	c.UserAgent = "headworks"
	c.WarningHandlerWithContext = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, "", fault.Wrap(fault.Connect, "the credentials for the API server cannot be used; look at the certificates and addresses of the kubeconfig", err)
	}
	return client, namespace, nil
}

// account returns how the API server is reached and signed in to.
func (o *Options) account() (c *rest.Config, namespace string, err error) {
	rules := clientcmd.ClientConfigLoadingRules{ExplicitPath: o.Kubeconfig}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&rules, &clientcmd.ConfigOverrides{})
	if o.Kubeconfig == "" {
		if c, err = rest.InClusterConfig(); err != nil {
			return nil, "", fault.Wrap(fault.Connect, "this process runs in no pod that has a service account; name a kubeconfig", err)
		}
	} else if c, err = loader.ClientConfig(); err != nil {
		return nil, "", fault.Wrap(fault.Connect, "the kubeconfig cannot be read, or says not which API server is meant", err)
	}
	if o.Namespace != "" {
		return c, o.Namespace, nil
	}
	namespace, _, err = loader.Namespace()
	if err != nil {
		return nil, "", fault.Wrap(fault.Connect, "the namespace is not known; say it", err)
	}
	return c, namespace, nil
}

// follow tells the endpoints of the service, as they change, until ctx ends.
func (f *Finder) follow(ctx context.Context, slices dynamic.ResourceInterface, namespace string, tell func([]discover.Replica, error)) {
	s := &store{slices: map[string]*slice{}, news: make(chan struct{}, 1)}
	of := labels.Set{serviceLabel: f.options.Service}.String()
	silent := klog.New(nil)
	reflector := cache.NewReflectorWithOptions(&source{slices: slices, of: of, store: s}, nil, s, cache.ReflectorOptions{
		Name: "endpointslices", Logger: &silent,
		Backoff: &wait.Backoff{Duration: soon, Factor: 2, Jitter: 0.5, Steps: 10, Cap: late},
	})
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { reflect(ctx, reflector) })
	host := f.options.Service + "." + namespace + ".svc"
	for told := false; ; told = true {
		select {
		case <-ctx.Done():
			return
		case <-s.news:
		}
		if told {
			pause(ctx, gather)
		}
		found, err := s.take(&f.options, host)
		if ctx.Err() != nil {
			return
		}
		tell(found, err)
	}
}

// reflect lists and watches until ctx ends, again whenever that comes to an end. Why it
// did is known where it happened.
func reflect(ctx context.Context, r *cache.Reflector) {
	for delay := soon; ctx.Err() == nil; delay = min(2*delay, late) {
		began := time.Now()
		_ = r.ListAndWatchWithContext(ctx)
		if time.Since(began) > time.Minute {
			delay = soon
		}
		pause(ctx, delay/2+rand.N(delay))
	}
}

// source lists and watches the slices of one service, and notes how that goes.
type source struct {
	slices dynamic.ResourceInterface
	of     string // label selector
	store  *store
}

// IsWatchListSemanticsUnSupported implements what client-go asks of a source: a list
// is a list, and no watch that begins with one, which not every API server has.
func (s *source) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext implements cache.ListerWatcherWithContext.
func (s *source) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	o.LabelSelector = s.of
	list, err := s.slices.List(ctx, o)
	if err != nil {
		s.store.fail(err)
		return nil, err
	}
	return list, nil
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (s *source) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.LabelSelector = s.of
	w, err := s.slices.Watch(ctx, o)
	if err == nil && hungUp(w) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		s.store.fail(err)
		return nil, err
	}
	s.store.mend()
	return w, nil
}

// hungUp reports whether a watch ended before it began: client-go says so by one that
// has its own type and no error.
func hungUp(w watch.Interface) bool {
	return fmt.Sprintf("%T", w) == fmt.Sprintf("%T", watch.NewEmptyWatch())
}

// List implements cache.ListerWatcher.
func (s *source) List(o metav1.ListOptions) (runtime.Object, error) {
	return s.ListWithContext(context.Background(), o)
}

// Watch implements cache.ListerWatcher.
func (s *source) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return s.WatchWithContext(context.Background(), o)
}

// mostSlices bounds the slices of a service: 100 endpoints each, unless the cluster has
// it otherwise.
const mostSlices = 1024

// store holds the slices that there are.
type store struct {
	news chan struct{} // something is to be told; has room for one

	mu     sync.Mutex
	slices map[string]*slice // by name
	listed bool
	err    error // why the API server could not be asked, or not be understood
}

func (s *store) signal() {
	select {
	case s.news <- struct{}{}:
	default: // it was said already
	}
}

// fail notes that the API server could not be asked. That a version is too old, or too
// new, is no failure: the next list begins anew.
func (s *store) fail(err error) {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) || errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = fault.Wrap(fault.Connect, words(err), err)
	s.signal()
}

// mend notes that the API server could be asked, and has nothing new to tell.
func (s *store) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || !s.listed {
		return
	}
	s.err = nil
	s.signal()
}

// change notes what the API server tells.
func (s *store) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.err = nil
	s.signal()
}

// take returns what is to be told.
func (s *store) take(o *Options, host string) ([]discover.Replica, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	return replicas(s.slices, o, host)
}

func (s *store) put(object any) {
	if u, ok := object.(*unstructured.Unstructured); ok {
		if have := s.slices[u.GetName()]; have == nil && len(s.slices) >= mostSlices {
			return
		}
		s.slices[u.GetName()] = read(u)
	}
}

// Add implements cache.ReflectorStore.
func (s *store) Add(object any) error {
	s.change(func() { s.put(object) })
	return nil
}

// Update implements cache.ReflectorStore.
func (s *store) Update(object any) error { return s.Add(object) }

// Delete implements cache.ReflectorStore.
func (s *store) Delete(object any) error {
	if u, ok := object.(*unstructured.Unstructured); ok {
		s.change(func() { delete(s.slices, u.GetName()) })
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *store) Replace(objects []any, _ string) error {
	s.change(func() {
		clear(s.slices)
		for _, o := range objects {
			s.put(o)
		}
		s.listed = true
	})
	return nil
}

// Resync implements cache.ReflectorStore: it is never asked for.
func (s *store) Resync() error { return nil }

// Bookmark implements cache.ReflectorBookmarkStore: all is as it was, and heard of.
func (s *store) Bookmark(string) error {
	s.change(func() {})
	return nil
}

// words says what an operator can do about a request that failed.
func words(err error) string {
	var status apierrors.APIStatus
	switch {
	case apierrors.IsUnauthorized(err):
		return "the API server of Kubernetes does not know this caller; look whether its token is of this cluster and still holds"
	case apierrors.IsForbidden(err):
		return "the API server of Kubernetes forbids it; bind a role that may list and watch endpointslices of discovery.k8s.io in the service's namespace"
	case apierrors.IsNotFound(err):
		return "the API server of Kubernetes has no endpointslices; it is older than 1.21, or something else answers there"
	case untrusted(err):
		return "the certificate of the API server of Kubernetes is not trusted; look at the certificate authority of the kubeconfig or the pod"
	case errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError, apierrors.IsTooManyRequests(err):
		return "the API server of Kubernetes answers that it cannot serve this now"
	}
	return "the API server of Kubernetes did not answer; look whether it can be reached from here"
}

// untrusted reports whether the certificate of the other side was not believed.
func untrusted(err error) bool {
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	return authority || host || invalid
}
