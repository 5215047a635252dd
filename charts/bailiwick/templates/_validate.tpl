{{/* What values.schema.json cannot say, because it takes two values or the release namespace. Gives nothing, or fails. */}}
{{- define "bailiwick.validate" -}}
{{- $whitelist := include "bailiwick.namespaceWhitelist" . | fromJsonArray }}

{{- /* The schema refuses the same in namespaceWhitelist; this is for a release in kube-system. */}}
{{- range $whitelist }}
{{- if regexMatch "^((kube|openshift)-|openshift$)" . }}
{{- fail (printf "namespaceWhitelist: %s belongs to the cluster. Install Bailiwick in a namespace of its own, or name the namespaces that organizations may take." .) }}
{{- end }}
{{- end }}

{{- /*
Said before anything is installed, where Helm can ask the cluster (`helm template` and Argo CD cannot: there, kube-system
is not to be found either). Otherwise the API server says it, in the midst of it.
*/}}
{{- if and (not .Values.createNamespaces) (lookup "v1" "Namespace" "" "kube-system") }}
{{- range without $whitelist .Release.Namespace }}
{{- if not (lookup "v1" "Namespace" "" .) }}
{{- fail (printf "namespaceWhitelist: there is no namespace %q, and createNamespaces is false. Make it first, or leave it out." .) }}
{{- end }}
{{- end }}
{{- end }}

{{- with .Values.defaultOrganization }}
{{- if and .create .namespace (not (has .namespace $whitelist)) }}
{{- fail (printf "defaultOrganization.namespace: %s is not in namespaceWhitelist (%s)." .namespace (join ", " $whitelist)) }}
{{- end }}
{{- end }}

{{- /* bailiwick-bounds is the platform team's, so no word may reach ConfigMaps of the release namespace in general. */}}
{{- $home := has .Release.Namespace $whitelist }}
{{- range $word, $entry := .Values.catalog }}
{{- $target := $entry.target | default "organization" }}
{{- range $name, $rule := $entry.rules }}
{{- $actions := $rule.actions | default (list "create" "update" "delete") }}
{{- $writes := or (has "create" $actions) (has "update" $actions) (has "delete" $actions) }}
{{- $named := and $rule.resourceNames (not (has "bailiwick-bounds" $rule.resourceNames)) }}
{{- $reaches := and (has "" $rule.apiGroups) (has "configmaps" $rule.resources) (not $named) }}
{{- if and $writes $reaches (or (eq $target "release") (and (eq $target "organization") $home)) }}
{{- $advice := ternary "" ", or leave the release namespace out of namespaceWhitelist" (eq $target "release") }}
{{- fail (printf "catalog.%s.rules.%s: would open the ConfigMap bailiwick-bounds, which limits Bailiwick itself. Name the ConfigMaps that you mean (resourceNames)%s." $word $name $advice) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
