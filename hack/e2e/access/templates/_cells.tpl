{{- /* Every cell as a JSON object {review, allowed}. `verb resource[/subresource][.group] [name]`, as examples/README.md says. */ -}}
{{- define "cells" -}}
{{- $cells := list -}}
{{- range $who := .Values.access -}}
  {{- $user := $who.as -}}
  {{- $groups := append ($who.groups | default list) "system:authenticated" -}}
  {{- with $who.serviceAccount -}}
    {{- $user = printf "system:serviceaccount:%s:%s" .namespace .name -}}
    {{- $groups = list "system:serviceaccounts" (printf "system:serviceaccounts:%s" .namespace) "system:authenticated" -}}
  {{- end -}}
  {{- range $allowed := list true false -}}
    {{- range $cell := (ternary $who.can $who.cannot $allowed) | default list -}}
      {{- $words := splitList " " $cell -}}
      {{- $kind := splitn "." 2 (index $words 1) -}}
      {{- $path := splitn "/" 2 $kind._0 -}}
      {{- $attributes := dict "verb" (index $words 0) "resource" $path._0 "subresource" ($path._1 | default "") "group" ($kind._1 | default "") -}}
      {{- if $who.in -}}{{- $_ := set $attributes "namespace" $who.in -}}{{- end -}}
      {{- if gt (len $words) 2 -}}{{- $_ := set $attributes "name" (index $words 2) -}}{{- end -}}
      {{- $spec := dict "user" $user "groups" $groups "resourceAttributes" $attributes -}}
      {{- $review := dict "apiVersion" "authorization.k8s.io/v1" "kind" "SubjectAccessReview" "spec" $spec -}}
      {{- $text := printf "%s%s: %s" $user (ternary (printf " in %s" $who.in) "" (not (empty $who.in))) $cell -}}
      {{- $cells = append $cells (dict "review" $review "allowed" $allowed "text" $text) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- dict "cells" $cells | toJson -}}
{{- end }}
