// Package manifests builds what deploy/kubernetes has, as kubectl apply -k does, and decodes it
// as strictly as the API server can be asked to: a field that the type does not have, or that is
// there twice, is an error. Objects of operators whose types are too heavy to import stay as they
// are, and the tests check them against the schemas of those operators.
package manifests

import (
	"errors"
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Object is an object of Kubernetes with a name.
type Object interface {
	runtime.Object
	metav1.Object
}

// Build returns the objects of the kustomization in a directory, in their order.
func Build(dir string) ([]Object, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("kustomize build %s: %w", dir, err)
	}
	objects := make([]Object, 0, resources.Size())
	for _, r := range resources.Resources() {
		text, err := r.MarshalJSON()
		if err != nil {
			return nil, err
		}
		object, err := Decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", dir, r.CurId(), err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// Of returns the objects of a type.
func Of[T Object](objects []Object) (found []T) {
	for _, o := range objects {
		if one, ok := o.(T); ok {
			found = append(found, one)
		}
	}
	return found
}

// Named returns the object of a type and a name.
func Named[T Object](objects []Object, name string) (T, error) {
	for _, one := range Of[T](objects) {
		if one.GetName() == name {
			return one, nil
		}
	}
	var none T
	return none, fmt.Errorf("no %T %s", none, name)
}

// Decode decodes one object from its JSON.
func Decode(text []byte) (Object, error) {
	known, err := types()
	if err != nil {
		return nil, err
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, known, known, json.SerializerOptions{Strict: true})
	decoded, _, err := decoder.Decode(text, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		decoded, _, err = unstructured.UnstructuredJSONScheme.Decode(text, nil, nil)
	}
	if err != nil {
		return nil, err
	}
	object, ok := decoded.(Object)
	if !ok {
		return nil, fmt.Errorf("%T has no name", decoded)
	}
	return object, nil
}

// types returns the types of Kubernetes itself and those of the operators that the manifests use.
func types() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(scheme.AddToScheme(s), monitoringv1.AddToScheme(s))
}
