{{/*
The catalog as native PolicyRules, for the ceilings. `src/core/catalog.rs` maps actions to the same verbs. If only one
of the two changes, the operator requests more than it holds and the API server refuses it.
*/}}

{{/* Actions -> verbs on one line, each verb once and always in this order. */}}
{{- define "bailiwick.verbs" -}}
{{- $verbsOf := dict
      "create" (list "create")
      "read"   (list "get" "list" "watch")
      "list"   (list "list" "watch")
      "update" (list "update" "patch")
      "delete" (list "delete" "deletecollection")
      "use"    (list "get" "create")
}}
{{- $asked := list }}
{{- range $action := . }}
{{- $asked = concat $asked (index $verbsOf $action) }}
{{- end }}
{{- $verbs := list }}
{{- range $verb := list "get" "list" "watch" "create" "update" "patch" "delete" "deletecollection" }}
{{- if has $verb $asked }}
{{- $verbs = append $verbs $verb }}
{{- end }}
{{- end }}
{{- include "bailiwick.flow" $verbs }}
{{- end }}

{{/*
All rules of the words with one target: (dict "catalog" … "target" …). With "elsewhere", only words for organizations
everywhere but in the release namespace (true), or also there (false). Rules that differ only in their resources become
one rule, with each resource once: at every write of the operator the API server compares each granted right with each
rule that the operator holds, which takes long for roles with many rights.
*/}}
{{- define "bailiwick.catalogRules" -}}
{{- $rules := dict }}
{{- range $word, $entry := .catalog }}
{{- $elsewhere := eq (toString $entry.inReleaseNamespace) "false" }}
{{- if and (eq ($entry.target | default "organization") $.target) (or (not (hasKey $ "elsewhere")) (eq $elsewhere $.elsewhere)) }}
{{- range $name, $rule := $entry.rules }}
{{- $groups := include "bailiwick.flow" $rule.apiGroups }}
{{- $names := include "bailiwick.flow" ($rule.resourceNames | default list) }}
{{- $verbs := include "bailiwick.verbs" ($rule.actions | default (list "create" "read" "update" "delete")) }}
{{- $key := printf "%s %s %s" $groups $names $verbs }}
{{- $known := get $rules $key | default (dict "resources" list) }}
{{- $resources := concat $known.resources $rule.resources | uniq }}
{{- $_ := set $rules $key (dict "groups" $groups "resources" $resources "named" $rule.resourceNames "names" $names "verbs" $verbs) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $rule := $rules }}
- apiGroups: {{ $rule.groups }}
  resources: {{ include "bailiwick.flow" $rule.resources }}
  {{- if $rule.named }}
  resourceNames: {{ $rule.names }}
  {{- end }}
  verbs: {{ $rule.verbs }}
{{- end }}
{{- end }}
