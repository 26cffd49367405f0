/* end: closes one pass over the rows; see begin.h. No include guard. */
#undef API
#undef MESSAGE
#undef STRUCT
#undef END
#undef FIELD
#undef ARRAY
#undef STRUCT_FIELD
#undef STRUCT_POINTER
#undef STRUCT_ARRAY
#undef NO_FIELDS
