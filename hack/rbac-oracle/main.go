// rbac-oracle answers questions about RBAC by Kubernetes' own code: what the API server runs on an escalation check and
// on a request.
//
// It reads a question a line and writes an answer a line, both JSON, until its input ends:
//
//	{"owner": [rule...], "asked": [rule...]}          {"uncovered": [rule...]}
//	{"objects": {"roles": [...], ...}, "requests": [...]}   {"reasons": ["RBAC: allowed by ...", ""...]}
//
// A question or an answer that it cannot read or write ends it with 1.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-helpers/auth/rbac/validation"
	registry "k8s.io/kubernetes/pkg/registry/rbac/validation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

type question struct {
	// Which of the asked rules' smallest parts do the owner's rules not cover?
	Owner []rbacv1.PolicyRule `json:"owner"`
	Asked []rbacv1.PolicyRule `json:"asked"`
	// Which requests do these objects allow?
	Objects  objects   `json:"objects"`
	Requests []request `json:"requests"`
}

type objects struct {
	Roles               []*rbacv1.Role               `json:"roles"`
	RoleBindings        []*rbacv1.RoleBinding        `json:"roleBindings"`
	ClusterRoles        []*rbacv1.ClusterRole        `json:"clusterRoles"`
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding `json:"clusterRoleBindings"`
}

// A request on a resource, or on a path if there is one.
type request struct {
	User        string   `json:"user"`
	Groups      []string `json:"groups"`
	Namespace   string   `json:"namespace"`
	Verb        string   `json:"verb"`
	APIGroup    string   `json:"apiGroup"`
	Resource    string   `json:"resource"`
	Subresource string   `json:"subresource"`
	Name        string   `json:"name"`
	Path        string   `json:"path"`
}

type answer struct {
	Uncovered []rbacv1.PolicyRule `json:"uncovered"`
	// Why each request is allowed; empty for one that is not.
	Reasons []string `json:"reasons"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rbac-oracle:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(bufio.NewReader(in))
	decoder.DisallowUnknownFields()
	encoder := json.NewEncoder(out)
	for {
		var asked question
		if err := decoder.Decode(&asked); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		answer, err := decide(asked)
		if err != nil {
			return err
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
}

func decide(asked question) (answer, error) {
	var decided answer
	_, decided.Uncovered = validation.Covers(asked.Owner, asked.Asked)
	stored := asked.Objects
	_, static := registry.NewTestRuleResolver(
		stored.Roles, stored.RoleBindings, stored.ClusterRoles, stored.ClusterRoleBindings)
	judge := rbac.New(static, static, static, static)
	for _, request := range asked.Requests {
		decision, reason, err := judge.Authorize(context.Background(), request.attributes())
		if err != nil {
			return answer{}, err
		}
		if decision != authorizer.DecisionAllow {
			reason = ""
		}
		decided.Reasons = append(decided.Reasons, reason)
	}
	return decided, nil
}

func (r request) attributes() authorizer.Attributes {
	return authorizer.AttributesRecord{
		User:            &user.DefaultInfo{Name: r.User, Groups: r.Groups},
		Verb:            r.Verb,
		Namespace:       r.Namespace,
		APIGroup:        r.APIGroup,
		Resource:        r.Resource,
		Subresource:     r.Subresource,
		Name:            r.Name,
		Path:            r.Path,
		ResourceRequest: r.Path == "",
	}
}
