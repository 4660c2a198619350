{#- Every layer lives in the slot's own schema, `<LAYER>__<SLOT>`: two slots never share a relation, and every ref()
    resolves inside the slot. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none -%}
        {{ target.schema }}
    {%- else -%}
        {{ custom_schema_name | trim | upper }}__{{ env_var('SLIPWAY_SLOT') | upper }}
    {%- endif -%}
{%- endmacro %}
