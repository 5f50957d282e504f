" Whether a suggestion is wanted here and now, and why not. Knows no bridge and no ghost text.
scriptencoding utf-8

let s:filetypes = {'python': 1, 'java': 1}

" Lines longer than this are data, not code; and copying them at each key would be felt.
let s:longest_line = 4096

" May a suggestion be shown here at all?
function! autocoder#wanted#possible() abort
  return empty(autocoder#wanted#why_impossible())
endfunction

" May one be shown without being asked for?
function! autocoder#wanted#automatic() abort
  return autocoder#wanted#filetype() && autocoder#setting('auto') && autocoder#wanted#possible()
endfunction

" Is text typed in Insert mode, with no menu open? With 'autocomplete' the editor calls it completing
" (ic) also where it found nothing.
function! autocoder#wanted#typing() abort
  return index(['i', 'ic'], mode(1)) >= 0 && !autocoder#wanted#menu_shows()
endfunction

" Does a completion menu have the keys and the screen to itself: the editor's own, or one that a
" plugin draws in a window of its own, as it can say by the setting `hidden`, an expression?
function! autocoder#wanted#menu_shows() abort
  return pumvisible() || s:hidden()
endfunction

function! s:hidden() abort
  let l:hidden = autocoder#setting('hidden')
  try
    return type(l:hidden) == v:t_string ? eval(l:hidden) : l:hidden
  catch
    call autocoder#log#warn('g:autocoder_hidden: ' .. v:exception)
    return 0
  endtry
endfunction

" Why none may be shown here, or an empty string. With 'paste' no key could accept it, and a macro
" that accepted it would not find it again.
function! autocoder#wanted#why_impossible() abort
  return !autocoder#setting('enabled') ? 'turned off (:Autocoder enable)'
        \ : !empty(&buftype) ? 'a buffer of type ' .. &buftype
        \ : !&modifiable ? "'nomodifiable'" : &binary ? "'binary'" : &paste ? "'paste'"
        \ : &rightleft ? "'rightleft'"
        \ : col('$') > s:longest_line ? 'a line of more than ' .. s:longest_line .. ' bytes'
        \ : &virtualedit isnot# '' && getpos('.')[3] ? 'the cursor is past the end of the line'
        \ : !empty(getcmdwintype()) ? 'the command-line window'
        \ : !empty(reg_recording() .. reg_executing()) ? 'a macro is recorded or run' : ''
endfunction

" Why none is shown of itself, or an empty string.
function! autocoder#wanted#why_silent() abort
  let l:why = autocoder#wanted#why_impossible()
  return !empty(l:why) ? l:why
        \ : autocoder#wanted#automatic() ? ''
        \ : autocoder#setting('auto') ? 'filetype ' .. string(&filetype) .. ' (g:autocoder_filetypes)'
        \ : 'only by the trigger key (g:autocoder_auto)'
endfunction

" Does the filetype, or the buffer itself, ask for suggestions?
function! autocoder#wanted#filetype() abort
  let l:wanted = get(g:, 'autocoder_filetypes', {})
  if type(l:wanted) == v:t_list
    return index(l:wanted, &filetype) >= 0 || index(l:wanted, '*') >= 0
          \ || get(s:filetypes, &filetype, 0) || get(b:, 'autocoder_enabled', 0)
  endif
  return get(l:wanted, &filetype, get(s:filetypes, &filetype, get(l:wanted, '*', 0)))
        \ || get(b:, 'autocoder_enabled', 0)
endfunction
