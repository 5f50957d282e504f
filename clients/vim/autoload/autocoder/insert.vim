" Inserts an accepted text as if it had been typed, so that `.`, macros' ends and undo know it.
" Options that change typed text are off meanwhile; what they did all the same is put right.
scriptencoding utf-8

let s:text = ''
let s:wanted = {}
let s:was_paste = 0

" `text` is what the next <Plug>(autocoder-insert) inserts.
function! autocoder#insert#prepare(text) abort
  let s:text = a:text
endfunction

" 'paste' turns off indenting, wrapping, abbreviations and the like, and restores them all.
function! autocoder#insert#begin() abort
  call autocoder#suggest#accepting(s:text)
  let s:wanted = s:outcome(s:text)
  let s:was_paste = &paste
  noautocmd let &paste = 1
endfunction

" The keys that type the text. `0<C-D>` takes away the indent that a repetition by `.` adds,
" when 'paste' is no longer set; <C-V> lets a tab be a tab.
function! autocoder#insert#keys() abort
  let l:lines = substitute(s:text, "\n", "\n0\<C-D>", 'g')
  return substitute(l:lines, "\t", "\<C-V>\t", 'g')
endfunction

function! autocoder#insert#end() abort
  noautocmd let &paste = s:was_paste
  if getline(s:wanted.lnum, line('.')) !=# s:wanted.lines
    call s:mend()
  endif
endfunction

" What the cursor's line becomes: its lines, and the cursor's column in the last.
function! s:outcome(text) abort
  let l:line = getline('.')
  let l:lines = split(strpart(l:line, 0, col('.') - 1) .. a:text, "\n", 1)
  let l:column = len(l:lines[-1]) + 1
  let l:lines[-1] .= strpart(l:line, col('.') - 1)
  return {'lnum': line('.'), 'lines': l:lines, 'column': l:column, 'below': line('$') - line('.')}
endfunction

" Something meddled (another plugin's InsertCharPre, say): write what was promised.
function! s:mend() abort
  let l:last = line('$') - s:wanted.below
  let l:surplus = l:last - s:wanted.lnum + 1 - len(s:wanted.lines)
  if l:surplus > 0
    call deletebufline('%', l:last - l:surplus + 1, l:last)
  elseif l:surplus < 0
    call append(l:last, repeat([''], -l:surplus))
  endif
  call setline(s:wanted.lnum, s:wanted.lines)
  call cursor(s:wanted.lnum + len(s:wanted.lines) - 1, s:wanted.column)
endfunction
